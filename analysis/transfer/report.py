"""The report on strategies: freezing, unfreezing and neither, and what the source says of them."""

from __future__ import annotations

from datetime import date
from typing import Any

from analysis.diminishing.facts import records
from analysis.document import Document
from analysis.logs import Logs
from analysis.transfer.dimensions import EMA, MODE, RESIZE
from analysis.transfer.options import Options
from analysis.transfer.sections import (
    details_section,
    dimensions_section,
    question_sections,
    stopping_section,
)
from analysis.transfer.strategy_sections import claims_section, strategies_section
from analysis.transfer.summary import (
    caution,
    claims_told,
    headline,
    importance_told,
    next_step,
    status_told,
    strategies_told,
)
from analysis.transfer.tables import Tables, compute

_TITLES = {RESIZE: "Resizing", EMA: "Averaged weights"}


def report(logs: Logs, options: Options, made: date) -> Document:
    """Return the report on the search in `logs`; raise `LogError` where they hold none."""
    tables = compute(logs, options)
    sentences = (
        status_told(tables),
        *strategies_told(tables),
        *claims_told(tables),
        *importance_told(tables),
        caution(tables),
        f"Next: {next_step(tables)}",
    )
    return Document(
        name="strategies",
        title=f"Freezing against unfreezing: {tables.trials.metric}",
        made=made,
        headline=headline(tables),
        summary=" ".join(filter(None, sentences)),
        sections=(
            strategies_section(tables),
            claims_section(tables),
            *question_sections(tables, _TITLES),
            dimensions_section(tables),
            stopping_section(tables),
            details_section(tables, (MODE, *_TITLES)),
        ),
        tables=tables.files() | {"strategies": tables.strategies, "claims": tables.claims},
        facts=common_facts(tables)
        | {"strategies": records(tables.strategies), "claims": records(tables.claims)},
    )


def common_facts(tables: Tables) -> dict[str, Any]:
    """Return what `summary.json` says in every report on transfer learning."""
    trials = tables.trials
    return {
        "metric": trials.metric,
        "mode": trials.mode,
        "num_trials": len(trials.table),
        "num_finished": tables.stopping.num_finished,
        "num_stopped": tables.stopping.num_stopped,
        "effects": records(tables.effects),
        "importance": records(tables.importance.table) if tables.importance.is_told else [],
        "seeds": records(tables.noise.seeds),
        "notes": list(tables.notes),
        "unused": records(tables.unused),
    }
