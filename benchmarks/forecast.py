"""Error and coverage of forecasts, beside the last value and the log-linear trend.

    python -m benchmarks.forecast [--tiny] [--logs DIR] [--table]

The last value of each curve is forecast from the first 20, 40, 60 and 80% of its steps, and from
so much that the run goes on to x5, x3.3, x2, x1.43 and x1.11 of what was seen. Without --logs the
curves are synthetic: powers, exponentials, Weibull curves, sigmoids, plateaus and dips, with noise.
With --logs they are all curves of bounded metrics on held-back data in a folder of logs. Errors and
widths are medians in points.

Bands rest on the other curves of the same set (a data set and metric, or a synthetic family) and on
a table made of all other sets: no curve informs its own band. `cover80_shipped` is the coverage of
bands from that table alone. `balanced` is the balanced accuracy of "more than 1 point above the
last value is still to come". The time is CPU time, for 1,000 synthetic curves of 100 points at five
cuts (60 curves with --tiny), back-tests and bands included.

--table prints the scores of all curves, losses included, as `analysis/default_scores.py` has them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from analysis.backtest import back_test
from analysis.forecasts import forecast_seen
from benchmarks._calibration import Tried, data_set_of, score_table, try_sets
from benchmarks._real_curves import Sets, real_curves
from benchmarks._report import report
from benchmarks._synthetic_curves import synthetic_curves

_SEED = 0
_SEEN = {"20%": 0.2, "40%": 0.4, "60%": 0.6, "80%": 0.8}
_HORIZONS = {"x5": 0.2, "x3.3": 0.3, "x2": 0.5, "x1.43": 0.7, "x1.11": 0.9}
_TARGETS = {
    "cover80_lowest": (">=", 0.72),
    "cover80_highest": ("<=", 0.88),
    "cover90_lowest": (">=", 0.84),
    "cover90_highest": ("<=", 0.95),
    "cpu_s_1000_curves_5_cuts": ("<=", 60.0),
}
_ON_LOGS = {
    "error": {"x5": 2.7, "x3.3": 1.6, "x2": 1.0, "x1.43": 0.5, "x1.11": 0.27},
    "width80": {"x5": 15.0, "x3.3": 12.0, "x2": 8.0, "x1.43": 4.5, "x1.11": 2.0},
    "balanced": {"x3.3": 0.70, "x2": 0.72, "x1.43": 0.75},
}
"""Targets for real curves of bounded metrics: balanced accuracies at least, the others at most."""


def row_of(tried: Sequence[Tried]) -> dict[str, float]:
    """Return medians of errors and widths, coverages and balanced accuracy.

    `curves` is how many could be told; NaN for a figure that these curves do not have.
    """
    told = [one for one in tried if one.found.predicted is not None]
    value, sign = _column([one.value for one in told]), _column([one.sign for one in told])
    last, trend, predicted = (
        _column([getattr(one.found, name) for one in told])
        for name in ("last_value", "log_linear", "predicted")
    )
    return {
        "curves": float(len(told)),
        "last_value": _median(np.abs(last - value)),
        "log_linear": _median(np.abs(trend - value)),
        "error": _median(np.abs(predicted - value)),
        "width80": _median(_column([_end(one, "hi80") - _end(one, "lo80") for one in told])),
        "cover80": _mean([_covers(one, "80") for one in told]),
        "cover90": _mean([_covers(one, "90") for one in told]),
        "cover80_shipped": _mean([_covers(one, "80", "shipped") for one in told]),
        "balanced": _balanced(sign * (predicted - last) > 1, sign * (value - last) > 1),
    }


def _column(values: Sequence[float]) -> npt.NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def _median(values: npt.NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _end(one: Tried, name: str, which: str = "found") -> float:
    return float(getattr(getattr(one, which), name))


def _covers(one: Tried, level: str, which: str = "found") -> bool:
    return _end(one, f"lo{level}", which) <= one.value <= _end(one, f"hi{level}", which)


def _balanced(said: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_]) -> float:
    """Return the mean of both hit rates; NaN where all curves are of one kind."""
    if true.all() or not true.any():
        return float("nan")
    return float((said[true].mean() + (~said[~true]).mean()) / 2)


def cpu_s_for(num_curves: int) -> float:
    """Return the CPU seconds that forecasts of so many curves at five cuts take."""
    sets = synthetic_curves(-(-num_curves // 6), 100, _SEED)
    curves = [curve for part in sets.values() for curve in part][:num_curves]
    start = time.process_time()
    for share in _HORIZONS.values():
        forecast_seen(curves, share, min_gain=1.0)
    return time.process_time() - start


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print a table: a line for each row."""
    names = list(next(iter(rows.values())))
    table = Table(title, *names)
    for label, row in rows.items():
        table.add_row(label, *(f"{row[name]:.3g}" for name in names))
    Console(width=140).print(table)


def figures_of(
    seen: dict[str, dict[str, float]], ahead: dict[str, dict[str, float]]
) -> dict[str, float]:
    """Return the figures of the report, out of both tables."""
    rows = [*seen.values(), *ahead.values()]
    figures = {f"{name}_{x}": row[name] for name in _ON_LOGS for x, row in ahead.items()}
    for name in ("error", "last_value", "cover80"):
        figures |= {f"{name}_seen_{x}": row[name] for x, row in seen.items()}
    for name in ("cover80", "cover90"):
        figures[f"{name}_lowest"] = min(row[name] for row in rows)
        figures[f"{name}_highest"] = max(row[name] for row in rows)
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def targets_of(arguments: argparse.Namespace) -> dict[str, tuple[str, float]]:
    """Return what the figures must reach: nothing with so few curves as --tiny has."""
    if arguments.tiny:
        return {}
    on_logs = {
        f"{name}_{x}": (">=" if name == "balanced" else "<=", bound)
        for name, bounds in _ON_LOGS.items()
        for x, bound in bounds.items()
    }
    return _TARGETS | (on_logs if arguments.logs else {})


def main() -> None:
    """Forecast all curves and report."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.forecast",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="4 curves of each family")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="use the curves of these logs")
    parser.add_argument("--table", action="store_true", help="print the table of scores, no more")
    arguments = parser.parse_args()
    losses: Sets = {}
    if arguments.logs:
        sets, losses = real_curves(arguments.logs)
    else:
        sets = synthetic_curves(4 if arguments.tiny else 40, 60, _SEED)
    if arguments.table:
        tests = {name: back_test(curves) for name, curves in {**sets, **losses}.items()}
        print("\n".join(" ".join(f"{x:5.2f}" for x in row) for row in score_table(tests).T))
        return
    tried = try_sets(sets, sorted({*_SEEN.values(), *_HORIZONS.values()}))
    seen = {name: row_of(tried[share]) for name, share in _SEEN.items()}
    ahead = {name: row_of(tried[share]) for name, share in _HORIZONS.items()}
    by_set = {
        name: row_of([one for one in tried[0.5] if one.data_set == name])
        for name in dict.fromkeys(map(data_set_of, sets))
    }
    for title, rows in (("seen", seen), ("horizon", ahead), ("data set, at x2", by_set)):
        show(title, rows)
    num_curves = 60 if arguments.tiny else 1000
    timed = {f"cpu_s_{num_curves}_curves_5_cuts": cpu_s_for(num_curves)}
    report("forecast", figures_of(seen, ahead) | timed, targets_of(arguments))


if __name__ == "__main__":
    main()
