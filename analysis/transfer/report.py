"""The report on unfreezing: when it pays, what else mattered, and what a search cannot tell."""

from __future__ import annotations

from datetime import date
from typing import Any

from analysis.diminishing.facts import records
from analysis.document import Document
from analysis.logs import Logs
from analysis.transfer.options import Options
from analysis.transfer.sections import (
    claims_section,
    details_section,
    dimensions_section,
    question_sections,
    stopping_section,
)
from analysis.transfer.summary import headline, summary
from analysis.transfer.tables import Tables, compute


def report(logs: Logs, options: Options, made: date) -> Document:
    """Return the report on the search in `logs`; raise `LogError` where they hold none."""
    tables = compute(logs, options)
    return Document(
        name="unfreezing",
        title=f"When unfreezing pays: {tables.trials.metric}",
        made=made,
        headline=headline(tables),
        summary=summary(tables),
        sections=(
            *question_sections(tables),
            claims_section(tables),
            dimensions_section(tables),
            stopping_section(tables),
            details_section(tables),
        ),
        tables=tables.files(),
        facts=_facts(tables),
    )


def _facts(tables: Tables) -> dict[str, Any]:
    trials, moment = tables.trials, tables.moment
    return {
        "metric": trials.metric,
        "mode": trials.mode,
        "num_trials": len(trials.table),
        "num_finished": tables.stopping.num_finished,
        "num_stopped": tables.stopping.num_stopped,
        "claims": records(tables.claims),
        "effects": records(tables.effects),
        "importance": records(tables.importance.table) if tables.importance.is_told else [],
        "settled_epoch": None
        if moment is None or moment.settled != moment.settled
        else moment.settled,
        "seeds": records(tables.noise.seeds),
        "notes": list(tables.notes),
        "unused": records(tables.unused),
    }
