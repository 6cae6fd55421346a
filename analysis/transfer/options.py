"""What can be set of a report on transfer learning; imports nothing that is slow."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.options import number, one_of, option, whole


@dataclass(frozen=True, kw_only=True)
class Options:
    """Thresholds of the report."""

    metric: str | None = option(
        None, "Metric to report; default: the validation metric of most trials.", "NAME"
    )
    mode: str = option(
        "auto",
        "Whether more is better: max, min, or auto (by the metric's name).",
        "MODE",
        one_of("auto", "max", "min"),
    )
    value: str = option(
        "best",
        "What counts of a trial: its best value, as the search ranks it, or its last.",
        "WHICH",
        one_of("best", "last"),
    )
    level: float = option(
        95.0, "Level of the intervals, in per cent; default: 95.", "PERCENT", number(1, 99.9)
    )
    draws: int = option(2000, "Bootstrap draws; default: 2000.", "NUM", whole(1))
    seed: int = option(0, "Seed of bootstrap and forest; default: 0.", "NUM", whole(0))
    max_rows: int = option(
        200, "Rows shown of a table at most; the CSV files hold all; default: 200.", "NUM", whole(1)
    )
