"""What the charts of curves show: some of the runs, thinned, and the mean of the complete ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.diminishing.plan import Plan
from analysis.diminishing.runs import COMPLETE
from analysis.selection import Curves

_MOST_POINTS = 300
_MOST_COLOURS = 8


def drawn_table(curves: Curves, runs: pd.DataFrame, order: pd.Series, plan: Plan) -> pd.DataFrame:
    """Return the points (run, step, value, state, colour) of the runs that are drawn.

    Where there are more than `--max-curves`, they are spread evenly over `order`, the names of all
    runs with values from the best to the worst. Of a long curve every so many points are kept,
    with its best and its last.
    """
    most = min(plan.options.max_curves, len(order))
    chosen = order.iloc[np.unique(np.linspace(0, len(order) - 1, most).round().astype(int))]
    places = {run: place for place, run in enumerate(curves.runs)}
    label = colour_label(runs, plan)
    parts = []
    for run in chosen:
        index = places[run]
        steps, values = curves.of(index)
        kept = _thinned(values, plan.sign)
        facts = runs.iloc[index]
        colour = facts[label] if label else facts["state"]
        part = {"run": run, "step": steps[kept], "value": values[kept], "state": facts["state"]}
        parts.append(pd.DataFrame({**part, "colour": colour}))
    empty = pd.DataFrame(columns=["run", "step", "value", "state", "colour"])
    return pd.concat(parts, ignore_index=True) if parts else empty


def colour_label(runs: pd.DataFrame, plan: Plan) -> str | None:
    """Return the label of 2 to 8 values by which complete runs differ most; None where none has.

    Differences are the variance of the means of its groups, divided by their number: a label of few
    values is easier to read.
    """
    found = {}
    complete = runs["state"] == COMPLETE
    counted = runs[complete if complete.any() else runs["num_points"] > 0]
    for label in plan.options.groups:
        values = counted[[label, "last"]].dropna()
        if 2 <= values[label].nunique() <= _MOST_COLOURS:
            means = values.groupby(label)["last"].transform("mean")
            found[label] = float(np.var(means)) / values[label].nunique()
    return max(found, key=lambda label: found[label]) if found else None


def mean_curve(curves: Curves, complete: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Return the mean (step, value) of the complete runs, at the steps that all of them have."""
    owners = np.repeat(np.arange(len(curves.runs)), curves.num_points())
    counted = np.concatenate([complete, np.zeros(len(curves.runs) - len(complete), bool)])[owners]
    table = pd.DataFrame({"step": curves.steps[counted], "value": curves.values[counted]})
    means = table.groupby("step")["value"].agg(["mean", "size"])
    shared = means[means["size"] == complete.sum()] if complete.any() else means.iloc[:0]
    return shared["mean"].rename("value").reset_index()


def _thinned(values: npt.NDArray[np.float64], sign: int) -> npt.NDArray[np.int64]:
    if len(values) <= _MOST_POINTS:
        return np.arange(len(values))
    even = np.linspace(0, len(values) - 1, _MOST_POINTS).round().astype(int)
    return np.union1d(even, [np.argmax(sign * values)])
