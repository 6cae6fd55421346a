"""What each value of each dimension went with, and how much of the differences it explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import RepeatedKFold

from analysis.transfer.contrast import Contrast, contrast, mean_of
from analysis.transfer.dimensions import Dimension
from analysis.transfer.trials import Flags, Floats, Trials

_FEWEST = 10
"""Finished trials: with fewer a forest says nothing."""
_FOLDS, _REPEATS, _TREES, _SHUFFLES = 5, 3, 40, 5
EFFECTS = (
    "dimension level num_finished num_stopped mean interval difference difference_interval told "
    "seconds"
)


def effects_table(trials: Trials) -> pd.DataFrame:
    """Return a row for each level of each dimension.

    Means are over finished trials; `difference` is to the other finished trials, positive where the
    level is better, with its interval; `told` says whether that excludes zero.
    """
    rows = [
        _effect(trials, dimension, level, chosen.to_numpy(bool))
        for dimension in trials.dimensions
        for level, chosen in dimension.groups()
    ]
    return pd.DataFrame(rows, columns=EFFECTS.split())


def _effect(trials: Trials, dimension: Dimension, level: str, chosen: Flags) -> dict[str, object]:
    values, done = trials.column("value"), trials.finished
    others = ~chosen & (dimension.levels != "").to_numpy(bool)
    mean = mean_of(np.where(chosen & done, values, np.nan), trials.clusters, trials.options)
    found = against(trials, chosen, others)
    seconds = trials.column("seconds")[chosen & done]
    return {
        "dimension": dimension.name,
        "level": level,
        "num_finished": int((chosen & done).sum()),
        "num_stopped": int((chosen & trials.stopped).sum()),
        "mean": mean.difference,
        "interval": ends(mean),
        "difference": found.difference,
        "difference_interval": ends(found),
        "told": found.is_told,
        "seconds": float(np.nanmean(seconds)) if np.isfinite(seconds).any() else np.nan,
    }


def against(trials: Trials, inside: Flags, outside: Flags) -> Contrast:
    """Return how much better the finished trials of one side are than those of the other."""
    done = trials.finished
    values = trials.sign * trials.column("value")
    return contrast(values, inside & done, outside & done, trials.clusters, trials.options)


def ends(found: Contrast) -> str:
    """Return the interval as it stands in a table, empty where there is none."""
    return f"[{found.low:.6g}, {found.high:.6g}]" if found.has_interval else ""


@dataclass(frozen=True)
class Importance:
    """How much of the differences between trials each dimension explains."""

    table: pd.DataFrame
    """dimension, importance (share of the variance of unseen trials), low, high, interval."""
    explained: float
    """Share of the variance of unseen trials that the forest explains; NaN where none was grown."""
    num_trials: int

    @property
    def is_told(self) -> bool:
        """Whether the forest foresees unseen trials at all."""
        return self.explained > 0


def importance_of(trials: Trials) -> Importance:
    """Return the permutation importance of each dimension in a forest, on trials it has not seen.

    A forest is grown on four fifths of the finished trials; the importance of a dimension is how
    much more of the rest's variance it misses when that dimension is shuffled (Breiman, Random
    Forests, 2001, section 10, on held-out trials). The interval is the middle 90 % of the splits.
    """
    done = trials.finished
    empty = pd.DataFrame(columns=["dimension", "importance", "interval"])
    target = trials.column("value")[done]
    if done.sum() < _FEWEST or np.ptp(target) == 0:
        return Importance(empty, float("nan"), int(done.sum()))
    columns, owners = _encoded(trials.dimensions, done)
    rng = np.random.default_rng(trials.options.seed)
    splits = RepeatedKFold(n_splits=_FOLDS, n_repeats=_REPEATS, random_state=trials.options.seed)
    missed = np.array(
        [
            _missed(columns, target, owners, seen, unseen, rng)
            for seen, unseen in splits.split(columns)
        ]
    )
    spread = float(np.var(target))
    shares = (missed[:, 1:] - missed[:, :1]) / spread
    low, high = np.quantile(shares, [0.05, 0.95], axis=0)
    table = pd.DataFrame(
        {
            "dimension": [dimension.name for dimension in trials.dimensions],
            "importance": shares.mean(axis=0),
            "interval": [f"[{a:.6g}, {b:.6g}]" for a, b in zip(low, high, strict=True)],
        }
    )
    table = table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    return Importance(table, 1 - float(missed[:, 0].mean()) / spread, int(done.sum()))


def _encoded(dimensions: list[Dimension], done: Flags) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the dimensions as columns, and which dimension each column belongs to.

    Numbers stay as they are, missing ones below all others; each other value is a column.
    """
    columns, owners = [], []
    for place, dimension in enumerate(dimensions):
        if dimension.is_number:
            numbers = dimension.values.to_numpy(float)[done]
            columns.append(np.where(np.isnan(numbers), np.nanmin(numbers, initial=0) - 1, numbers))
            owners.append(place)
        else:
            for _, chosen in dimension.groups():
                columns.append(chosen.to_numpy(float)[done])
                owners.append(place)
    return np.stack(columns, axis=1), np.array(owners)


def _missed(
    columns: Floats,
    target: Floats,
    owners: npt.NDArray[np.int64],
    seen: npt.NDArray[np.int64],
    unseen: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Floats:
    """Return the mean squared error on unseen trials, (1 + dimensions,).

    The first is that of a forest grown on `seen`; the others are its errors when the columns of one
    dimension are shuffled together.
    """
    forest = RandomForestRegressor(_TREES, random_state=int(rng.integers(2**31)), n_jobs=1)
    forest.fit(columns[seen], target[seen])
    asked = [columns[unseen]]
    for place in range(owners.max() + 1):
        for _ in range(_SHUFFLES):
            mixed = columns[unseen].copy()
            own = owners == place
            mixed[:, own] = mixed[rng.permutation(len(mixed))][:, own]
            asked.append(mixed)
    foreseen = forest.predict(np.concatenate(asked)).reshape(len(asked), -1)
    errors = np.mean((foreseen - target[unseen]) ** 2, axis=1)
    return np.append(errors[0], errors[1:].reshape(-1, _SHUFFLES).mean(axis=1))
