"""Freezing, unfreezing and neither side by side: time, memory and what was reached."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.transfer.contrast import Contrast, Flags, Floats, contrast, mean_of
from analysis.transfer.dimensions import MODE, role_of
from analysis.transfer.effects import ends
from analysis.transfer.trials import Trials

FREEZE, UNFREEZE, NONE = "freeze", "unfreeze", "none"
STRATEGIES = (FREEZE, UNFREEZE, NONE)
_RECIPES = {"progressive_freeze": FREEZE, "progressive_unfreeze": UNFREEZE}
"""What a confirmed recipe is an example of: two tables of the source documents. Their third one
starts from random weights, which is another question."""
_FEWEST_SEEDS = 3
COLUMNS = (
    "strategy num_runs num_stopped mean interval ahead ahead_interval told "
    "seconds seconds_interval slower slower_interval memory"
)


@dataclass(frozen=True)
class Sample:
    """Runs that are compared, and what they are independent by."""

    runs: pd.DataFrame
    """strategy ("" for others), value, seconds, memory (bytes, NaN where it was not measured),
    done, stopped."""
    blocks: npt.NDArray[np.int64]  # (runs,): drawn together
    of_seeds: bool
    """Whether the blocks are new seeds of fixed schedules, and not trials of a search."""

    def side(self, strategy: str) -> Flags:
        """Return the runs of a strategy that came to their end."""
        chosen = (self.runs["strategy"] == strategy) & self.runs["done"]
        return chosen.to_numpy(bool)

    def column(self, name: str) -> Floats:
        """Return a column of the runs as an array."""
        return self.runs[name].to_numpy(np.float64)


def sample_of(trials: Trials) -> Sample | None:
    """Return the trials of a search that asked for a strategy, or else confirmed recipes."""
    dimension = role_of(trials.dimensions, MODE)
    if dimension is None:
        return _confirmed(trials)
    runs = trials.table[["value", "seconds", "memory"]].assign(
        strategy=dimension.levels.str.lower(), done=trials.finished, stopped=trials.stopped
    )
    return Sample(runs, trials.clusters, of_seeds=False)


def _confirmed(trials: Trials) -> Sample | None:
    """Return the runs of `thaw confirm --recipes`, drawn by seed; None where they are too few."""
    runs = trials.confirmed.assign(done=True, stopped=False)
    runs["strategy"] = runs["origin"].map(_RECIPES).fillna("")
    known = runs[runs["strategy"] != ""]
    if known["strategy"].nunique() < 2 or known["seed"].nunique() < _FEWEST_SEEDS:
        return None
    return Sample(known, known["seed"].to_numpy().astype(np.int64), of_seeds=True)


def strategies_table(trials: Trials, sample: Sample | None) -> pd.DataFrame:
    """Return a row for each strategy that some run has; empty without a sample.

    `ahead` and `slower` are against the runs that freeze nothing: the difference of the means in
    the unit of the logs (positive is better), and the share of their seconds. Memory is the mean
    over runs of each run's peak in bytes.
    """
    columns = COLUMNS.split()
    if sample is None:
        return pd.DataFrame(columns=columns)
    present = [name for name in STRATEGIES if (sample.runs["strategy"] == name).any()]
    return pd.DataFrame([_row(trials, sample, name) for name in present], columns=columns)


def _row(trials: Trials, sample: Sample, strategy: str) -> dict[str, object]:
    options, inside, outside = trials.options, sample.side(strategy), sample.side(NONE)
    value, seconds = sample.column("value"), sample.column("seconds")
    mean, took = (
        mean_of(np.where(inside, column, np.nan), sample.blocks, options)
        for column in (value, seconds)
    )
    ahead = slower = Contrast(math.nan, math.nan, math.nan, 0, 0)
    if strategy != NONE:
        ahead = contrast(trials.sign * value, inside, outside, sample.blocks, options)
        slower = contrast(seconds, inside, outside, sample.blocks, options, ratio=True)
    memory = sample.column("memory")[inside]
    chosen = sample.runs["strategy"] == strategy
    return {
        "strategy": strategy,
        "num_runs": int(inside.sum()),
        "num_stopped": int((chosen & sample.runs["stopped"]).sum()),
        "mean": mean.difference,
        "interval": ends(mean),
        "ahead": ahead.difference,
        "ahead_interval": ends(ahead),
        "told": ahead.is_told,
        "seconds": took.difference,
        "seconds_interval": ends(took),
        "slower": slower.difference,
        "slower_interval": ends(slower),
        "memory": float(np.nanmean(memory)) if np.isfinite(memory).any() else math.nan,
    }
