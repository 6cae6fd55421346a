"""Runs beside each other: what each reached in one metric, where, and what sets it apart."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.logs import Logs
from analysis.metrics import choose_metric, direction

_ROBUST = 3
"""Evaluations at the end whose median is the robust last value."""


def comparison(logs: Logs, metric: str | None, mode: str) -> pd.DataFrame:
    """Return a row for each run, the best first; runs without a finite value come last.

    `metric` None takes the likeliest one, `mode` is `max`, `min`, or `auto` for what the metric's
    name says. Index: run. Columns: labels, kind, status, num_points, best, best_step, last,
    last_step, robust_last (median of the last three), wall_s at the end, and the hyperparameters in
    which runs differ. Raises `LogError` for an unknown metric.
    """
    chosen, _ = choose_metric(logs.points, metric)
    found = endings(logs.points[logs.points["metric"] == chosen], direction(chosen, mode))
    labels = [name for name in logs.runs.columns if name.startswith("label:")]
    differing = [name for name in logs.runs.columns if _differs(logs.runs, name)]
    table = pd.concat(
        [logs.runs[[*labels, "kind", "status"]], found, logs.runs[differing]], axis=1
    ).loc[logs.runs.index]
    table["num_points"] = table["num_points"].fillna(0).astype(int)
    table.columns = [name.removeprefix("label:") for name in table.columns]
    table.attrs = {"metric": chosen, "mode": direction(chosen, mode)}
    rising = table.attrs["mode"] == "min"
    return table.sort_values("best", ascending=rising, na_position="last", kind="stable")


def endings(points: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Return best and last values of each run from the points of one metric, NaN left out."""
    finite = points[np.isfinite(points["value"])]
    by_run = finite.groupby("run", observed=True)
    best = by_run["value"].idxmax() if mode == "max" else by_run["value"].idxmin()
    top, last = finite.loc[best].set_index("run"), by_run.tail(1).set_index("run")
    tail = by_run.tail(_ROBUST).groupby("run", observed=True)
    table = pd.DataFrame(
        {
            "num_points": by_run.size(),
            "best": top["value"],
            "best_step": top["step"],
            "last": last["value"],
            "last_step": last["step"],
            "robust_last": tail["value"].median(),
            "wall_s": last["wall_s"],
        }
    )
    table.index = table.index.astype(str)
    return table


def _differs(runs: pd.DataFrame, name: str) -> bool:
    return name.startswith("param:") and len({repr(value) for value in runs[name].dropna()}) > 1
