"""What early stopping and chance do to the figures: who was stopped, and how much seeds differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.noise import noise_sd
from analysis.transfer.trials import Trials


@dataclass(frozen=True)
class Stopping:
    """The trials that were stopped early beside those that finished."""

    num_stopped: int
    num_finished: int
    num_others: int
    """Neither: failed, diverged, interrupted, running."""
    behind: float
    """How far stopped trials were behind the median finished one at the same epoch, in the mean;
    positive is behind, NaN where there is nothing to compare."""


def stopping_of(trials: Trials) -> Stopping:
    """Return how many trials were stopped, and how far behind they were."""
    finished = [str(name) for name in trials.table.index[trials.finished]]
    stopped = [str(name) for name in trials.table.index[trials.stopped]]
    gaps = []
    for name in stopped:
        if name not in trials.curves:
            continue
        curve = trials.curves[name]
        at = [_at(trials, other, curve.epoch[-1]) for other in finished]
        known = [value for value in at if not math.isnan(value)]
        if known:
            gaps.append(trials.sign * (float(np.median(known)) - float(curve.value[-1])))
    return Stopping(
        num_stopped=len(stopped),
        num_finished=len(finished),
        num_others=len(trials.table) - len(stopped) - len(finished),
        behind=float(np.mean(gaps)) if gaps else math.nan,
    )


def _at(trials: Trials, name: str, epoch: float) -> float:
    curve = trials.curves[name]
    places = np.flatnonzero(curve.epoch == epoch)
    return float(curve.value[places[-1]]) if len(places) else math.nan


@dataclass(frozen=True)
class Noise:
    """How much the metric varies when nothing but chance differs."""

    seeds: pd.DataFrame
    """Confirmed schedules: origin, num_seeds, mean, sd."""
    seed_sd: float
    """Between seeds of one schedule, pooled; NaN where nothing was confirmed."""
    curve_sd: float
    """Between epochs of one trial about its own trend, the median of the finished trials."""

    @property
    def resolution(self) -> float:
        """The least difference between two single trials that is beyond chance at 95 %."""
        return 1.96 * math.sqrt(2) * self.seed_sd


def noise_of(trials: Trials) -> Noise:
    """Return the noise between seeds, from confirmations, and along the curves."""
    groups = trials.confirmed.groupby("origin")["value"]
    seeds = groups.agg(["count", "mean", "std"]).reset_index()
    seeds.columns = pd.Index(["origin", "num_seeds", "mean", "sd"])
    several = seeds[seeds["num_seeds"] > 1]
    freedom = several["num_seeds"] - 1
    pooled = math.nan
    if len(several):
        pooled = math.sqrt(float((several["sd"] ** 2 * freedom).sum() / freedom.sum()))
    names = map(str, trials.table.index[trials.finished])
    found = [noise_sd(trials.curves[name].value) for name in names]
    known = [value for value in found if not math.isnan(value)]
    return Noise(seeds, pooled, float(np.median(known)) if known else math.nan)
