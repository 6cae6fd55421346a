"""Ending runs by their predicted gain, against training everything to the end.

    python -m benchmarks.stopping [--tiny] [--logs DIR]

Each recorded curve is replayed: at a quarter, half and three quarters of its steps the gain of the
next quarter is forecast (bands and pool are those of `thaw search --hours-per-point`), and the run
ends where it is less than a price in points for a whole run's compute. `saved` is the mean share of
steps that were not trained, `lost` by how much the best value falls short of that of the whole run,
in points: mean, median and the worst tenth. `lost_alike` is the mean loss where as much compute is
saved by ending all runs at one and the same share of their steps instead.

Without --logs the curves are synthetic; with it they are those of bounded metrics on held-back data
in a folder of logs, such as the results of `thaw matrix`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from analysis.conformal import RATIOS, pool_of
from analysis.curves import Curve
from analysis.stopping import replay
from benchmarks._real_curves import real_curves
from benchmarks._report import report
from benchmarks._synthetic_curves import synthetic_curves

_SEED = 0
_PRICES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Points that the compute of a whole run must gain."""
_QUARTERS = (0.25, 0.5, 0.75, 1.0)


def row_of(curves: Sequence[Curve], price: float) -> dict[str, float]:
    """Return what the rule saves and loses on `curves`, in points, at a price in points a run."""
    pool = pool_of(np.empty((0, len(RATIOS))))
    found = []
    for curve in curves:
        last = float(curve.steps[-1])
        found.append(replay(curve, [share * last for share in _QUARTERS], pool, price / last))
    saved = float(np.mean([one.saved for one in found]))
    lost = np.array([one.lost for one in found])
    return {
        "stopped": float(np.mean([one.saved > 0 for one in found])),
        "saved": saved,
        "lost": float(np.mean(lost)),
        "lost_median": float(np.median(lost)),
        "lost_p90": float(np.quantile(lost, 0.9)),
        "lost_alike": float(np.mean([_lost_at(curve, 1 - saved) for curve in curves])),
    }


def _lost_at(curve: Curve, share: float) -> float:
    """Return by how much the best value up to a share of the steps falls short of the best."""
    seen = curve.until(max(share * float(curve.steps[-1]), float(curve.steps[0])))
    return float(np.max(curve.goodness) - np.max(seen.goodness))


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print a table: a line for each price."""
    names = list(next(iter(rows.values())))
    table = Table("points a run", *names, title=title, title_justify="left")
    for label, row in rows.items():
        table.add_row(label, *(f"{row[name]:.3g}" for name in names))
    Console(width=120).print(table)


def main() -> None:
    """Replay all curves at all prices and report."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.stopping",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="2 curves of each family")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="use the curves of these logs")
    arguments = parser.parse_args()
    if arguments.logs:
        sets, _ = real_curves(arguments.logs)
    else:
        sets = synthetic_curves(2 if arguments.tiny else 40, 60, _SEED)
    curves = [curve for found in sets.values() for curve in found]
    rows = {f"{price:g}": row_of(curves, price) for price in _PRICES}
    show(f"{len(curves)} curves", rows)
    figures = {f"{name}_at_{price}": row[name] for price, row in rows.items() for name in row}
    report("stopping", {"curves": float(len(curves)), **figures}, {})


if __name__ == "__main__":
    main()
