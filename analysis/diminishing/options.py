"""What can be set of the diminishing-returns report; imports nothing that is slow."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.options import names, number, one_of, option, percents, whole
from analysis.steps import parse_positive_step, parse_step, parse_steps

STANDARD_ENDS = (90_000.0, 160_000.0, 240_000.0, 320_000.0)
"""Phase ends of the extended-training study, in steps."""
STANDARD_BASE = 80_000.0
"""Its standard training length, in steps."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Thresholds of the report; `None` and `()` stand for defaults that fit the logs."""

    metric: str | None = option(
        None, "Metric to report; default: the validation metric of most runs.", "NAME"
    )
    mode: str = option(
        "auto",
        "Whether more is better: max, min, or auto (by the metric's name).",
        "MODE",
        one_of("auto", "max", "min"),
    )
    phases: tuple[float, ...] = option(
        (),
        "Ends of the phases; the first is where counting starts. Default: 90k,160k,240k,320k "
        "where the runs are that long, else the quarters of their length.",
        "STEPS",
        parse_steps,
    )
    checkpoints: tuple[float, ...] = option(
        (),
        "Steps at which values are listed; default: the phase ends but the first.",
        "STEPS",
        parse_steps,
    )
    base: float | None = option(
        None,
        "Standard training length, in steps; default: 80k, or the first phase end.",
        "STEP",
        parse_positive_step,
    )
    target: float | None = option(
        None,
        "Length at which a run is complete; default: the last phase end.",
        "STEP",
        parse_positive_step,
    )
    tolerance: float | None = option(
        None,
        "How far from a phase end an evaluation may be, in steps; default: half the interval "
        "between two evaluations of the run, and 1% of the step past its last.",
        "STEPS",
        parse_step,
    )
    fast_peak: float | None = option(
        None,
        "A run that peaks before it is a fast saturator; default: 200k, or 5/8 of the target.",
        "STEP",
        parse_positive_step,
    )
    no_gain_after: float | None = option(
        None,
        "So is a run without gain after it; default: the second phase end.",
        "STEP",
        parse_positive_step,
    )
    slow_peak: float | None = option(
        None,
        "A run that peaks after it is a slow learner; default: 400k, or 5/4 of the target.",
        "STEP",
        parse_positive_step,
    )
    shares: tuple[float, ...] = option(
        (60.0, 92.0, 100.0),
        "Shares of the total gain that production, research and benchmark must keep, in per "
        "cent; default: 60,92,100.",
        "SHARES",
        percents,
    )
    drop: float = option(
        50.0,
        "Compute no longer pays where its gain falls below this share of the first phase's, in "
        "per cent; default: 50.",
        "PERCENT",
        number(0, 100),
    )
    ahead: float | None = option(
        None,
        "Step to look ahead to; default: where complete runs end, and the last phase once more.",
        "STEP",
        parse_positive_step,
    )
    worth: float = option(
        0.0,
        "Gain by then whose probability is told, in the metric's own unit; default: 0.",
        "GAIN",
        number(0, 1e9),
    )
    groups: tuple[str, ...] = option(
        (), "Labels to group by; default: all that the logs have.", "LABELS", names
    )
    clusters: tuple[str, ...] = option(
        (),
        "Labels that make up a configuration, for the bootstrap; default: all labels and "
        "hyperparameters but the seed.",
        "LABELS",
        names,
    )
    planned: str | None = option(
        None, "CSV with a column `run`: runs without a log are listed as pending.", "FILE"
    )
    smooth: int = option(
        1,
        "Median over so many evaluations before anything is read off; default: 1, none.",
        "NUM",
        whole(1),
    )
    noise: float = option(
        2.0,
        "A gain below so many standard deviations of the metric's noise is marked; default: 2.",
        "NUM",
        number(0, 100),
    )
    level: float = option(
        95.0, "Level of the intervals, in per cent; default: 95.", "PERCENT", number(1, 99.9)
    )
    draws: int = option(2000, "Bootstrap draws; default: 2000.", "NUM", whole(1))
    seed: int = option(0, "Seed of the bootstrap; default: 0.", "NUM", whole(0))
    max_curves: int = option(
        200, "Curves drawn in the HTML page at most; default: 200.", "NUM", whole(0)
    )
    max_forecasts: int = option(
        100,
        "Runs that are looked ahead for at most, the best first; default: 100.",
        "NUM",
        whole(0),
    )
    max_rows: int = option(
        500, "Rows shown of a table at most; the CSV files hold all; default: 500.", "NUM", whole(1)
    )
