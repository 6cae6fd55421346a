"""What `thaw forecast` does: forecasts of all runs of some logs, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.forecasts import Forecasts, forecast_logs
from analysis.logs import LogError, read_logs
from analysis.metrics import choose_metric, direction
from analysis.steps import shown_about, shown_step


@dataclass(frozen=True)
class Made:
    """Forecasts of one metric."""

    metric: str
    mode: str
    forecasts: Forecasts


def forecast_logs_of(
    paths: Sequence[str],
    metric: str | None,
    mode: str,
    *,
    to: float | None,
    seen: float | None,
    min_gain: float,
    num_devices: int,
) -> Made:
    """Read logs and forecast their runs; raise `LogError` for options that cannot be."""
    if (to is None) == (seen is None):
        raise LogError("forecast: name a step with --to, or a share with --seen; not both")
    if seen is not None and not 0 < seen < 1:
        raise LogError(f"--seen {seen:g}: must be a share between 0 and 1, such as 0.5")
    if to is not None and to <= 0:
        raise LogError("--to 0: must be a step above 0")
    if not math.isfinite(min_gain):
        raise LogError(f"--min-gain {min_gain:g}: must be a finite number")
    if mode not in ("auto", "max", "min"):
        raise LogError(f"--mode {mode!r}: allowed: auto, max, min")
    logs = read_logs([Path(path) for path in paths])
    chosen, _ = choose_metric(logs.points, metric)
    found_mode = direction(chosen, mode)
    found = forecast_logs(
        logs.points,
        logs.runs,
        chosen,
        maximize=found_mode == "max",
        to=to,
        seen=seen,
        min_gain=min_gain,
        num_devices=num_devices,
    )
    if not found.runs:
        raise LogError(f"{chosen}: no run has a value at a step above 0; nothing can be forecast")
    return Made(chosen, found_mode, found)


def show_forecasts(made: Made, console: Console) -> None:
    """Print a row for each run, then how far to trust them."""
    headings = "run|at|now|to|predicted|80%|last value|log-linear|gain|chance|95% at|per hour|flags"
    table = Table(*headings.split("|"), box=None, pad_edge=False)
    for run in made.forecasts.runs:
        band = "" if run.lo80 is None else f"{_value(run.lo80)} .. {_value(run.hi80)}"
        table.add_row(
            Text(run.run),
            shown_step(math.nan if run.seen_step is None else run.seen_step),
            _value(run.level),
            shown_step(run.target_step),
            _value(run.predicted) or "cannot tell",
            band,
            _value(run.last_value),
            _value(run.log_linear),
            _value(run.expected_gain),
            "" if run.chance is None else f"{run.chance:.0%}",
            "" if run.step_of_95 is None else shown_about(run.step_of_95),
            _value(run.gain_per_hour),
            " ".join(run.flags),
        )
    better = "higher" if made.mode == "max" else "lower"
    title = Text.assemble((made.metric, "bold"), f" ({better} is better)")
    console.print(title, table, sep="\n")
    for note in made.forecasts.notes:
        console.print(Text(note), soft_wrap=True)


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
