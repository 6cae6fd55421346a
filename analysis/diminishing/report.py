"""The report of diminishing returns: where more training stops paying, for which kind of run."""

from __future__ import annotations

from datetime import date

from analysis.diminishing.advice import ahead_section, cost_section, recommendations_section
from analysis.diminishing.charts import charts
from analysis.diminishing.details import details_section
from analysis.diminishing.facts import facts
from analysis.diminishing.options import Options
from analysis.diminishing.retuned_section import retuned_section
from analysis.diminishing.sections import (
    checkpoints_section,
    marginal_section,
    patterns_section,
    phases_section,
)
from analysis.diminishing.summary import headline, summary
from analysis.diminishing.tables import compute
from analysis.document import Document
from analysis.logs import Logs


def report(logs: Logs, options: Options, made: date) -> Document:
    """Return the report on `logs`; raise `LogError` where logs or options do not allow one."""
    tables = compute(logs, options)
    drawn = charts(tables)
    return Document(
        name="diminishing-returns",
        title=f"Diminishing returns of training length: {tables.plan.metric}",
        made=made,
        headline=headline(tables),
        summary=summary(tables),
        sections=(
            phases_section(tables, drawn),
            checkpoints_section(tables),
            patterns_section(tables),
            marginal_section(tables),
            recommendations_section(tables),
            cost_section(tables, drawn),
            retuned_section(tables),
            ahead_section(tables),
            details_section(tables),
        ),
        tables=tables.files(),
        facts=facts(tables),
    )
