"""The curves of one metric: arrays of all runs, one after another, ready to be computed with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
_GRACE = 0.01
"""A run may end this share of a step before it and still have a value there."""


@dataclass(frozen=True)
class Curves:
    """Finite values of one metric for each run, at rising steps."""

    runs: tuple[str, ...]
    """All runs of the logs, sorted; also those without a value."""
    offsets: npt.NDArray[np.int64]  # (runs + 1,): run i has the points offsets[i]:offsets[i + 1]
    steps: Floats  # (points,)
    values: Floats  # (points,)
    wall_s: Floats  # (points,), NaN where it is not known
    intervals: Floats  # (runs,): usual steps between two evaluations, finite or not; NaN for one
    num_not_finite: npt.NDArray[np.int64]  # (runs,): NaN and infinite values, left out

    def of(self, index: int) -> tuple[Floats, Floats]:
        """Return steps and values of a run."""
        part = slice(self.offsets[index], self.offsets[index + 1])
        return self.steps[part], self.values[part]

    def num_points(self) -> npt.NDArray[np.int64]:
        """Return the number of values of each run."""
        return np.diff(self.offsets)


def select(points: pd.DataFrame, runs: pd.Index[str], metric: str, smooth: int = 1) -> Curves:
    """Return the curves of `metric`, the later value where a run has a step twice.

    `smooth` > 1 takes the median over so many neighbouring evaluations, fewer at both ends.
    """
    names = tuple(sorted({*map(str, runs), *map(str, points["run"].unique())}))
    chosen = points[points["metric"] == metric]
    codes = _codes(chosen["run"], names)
    found = pd.DataFrame({"code": codes})
    for name in ("step", "value", "wall_s"):
        found[name] = chosen[name].to_numpy(np.float64)
    finite = np.isfinite(found["step"]) & np.isfinite(found["value"])
    not_finite = np.bincount(codes[~finite], minlength=len(names))
    table = _in_order(found[finite])
    if smooth > 1:
        rolling = table.groupby("code")["value"].rolling(smooth, center=True, min_periods=1)
        table["value"] = rolling.median().to_numpy()
    counts = np.bincount(table["code"], minlength=len(names))
    every = _in_order(found[np.isfinite(found["step"])])
    apart = every.groupby("code")["step"].diff().groupby(every["code"]).median()
    return Curves(
        runs=names,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        steps=table["step"].to_numpy(np.float64),
        values=table["value"].to_numpy(np.float64),
        wall_s=table["wall_s"].to_numpy(np.float64),
        intervals=apart.reindex(range(len(names))).to_numpy(np.float64),
        num_not_finite=not_finite.astype(np.int64),
    )


def _in_order(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points by run and step, the later one of two at the same step."""
    return points.drop_duplicates(["code", "step"], keep="last").sort_values(["code", "step"])


def _codes(runs: pd.Series, names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Return the place of each run among `names`."""
    categories = runs.astype("category").cat
    places = {name: place for place, name in enumerate(names)}
    table = np.array([places[str(name)] for name in categories.categories], dtype=np.int64)
    return table[categories.codes] if len(table) else np.zeros(0, dtype=np.int64)


def indices_at(curves: Curves, steps: Floats, tolerance: float | None = None) -> Floats:
    """Return which point of its run counts as the one at each of `steps`: (runs, steps).

    It is the nearest one, the earlier of two, and NaN where there is none within `tolerance`
    steps. Without a tolerance it may be half the run's median interval away, and outside of the
    run's first and last point not more than 1% of the step: a run that ended before has no value.
    """
    found = np.full((len(curves.runs), len(steps)), np.nan)
    for index in np.flatnonzero(curves.num_points()).tolist():
        at, _ = curves.of(index)
        after = np.minimum(np.searchsorted(at, steps), len(at) - 1)
        before = np.maximum(after - 1, 0)
        nearest = np.where(np.abs(steps - at[before]) <= np.abs(at[after] - steps), before, after)
        usual = _allowed(at, steps, curves.intervals[index] / 2)
        near = np.abs(at[nearest] - steps) <= (usual if tolerance is None else tolerance)
        found[index, near] = nearest[near]
    return found


def values_at(curves: Curves, indices: Floats, of: Floats | None = None) -> Floats:
    """Return the values (or another column `of` the points) at `indices`, NaN where they are."""
    known = np.isfinite(indices)
    places = curves.offsets[:-1, None] + np.nan_to_num(indices).astype(np.int64)
    column = curves.values if of is None else of
    result = np.full(indices.shape, np.nan)
    result[known] = column[places[known]]
    return result


def _allowed(at: Floats, steps: Floats, half: float) -> Floats:
    """Return how far the nearest point may be; `half` of an interval is NaN for a single point."""
    inside = (steps >= at[0]) & (steps <= at[-1])
    outside = np.fmin(half, _GRACE * np.abs(steps))
    return np.where(inside, half if len(at) > 1 else 0.0, outside)
