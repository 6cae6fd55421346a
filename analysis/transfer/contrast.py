"""Some trials against others: the difference of their means, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Draws, interval, resampled_means
from analysis.transfer.options import Options

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
FEWEST = 5
"""Configurations on each side: of fewer there is no interval."""


@dataclass(frozen=True)
class Contrast:
    """A difference of means, or a ratio of means less 1."""

    difference: float
    low: float
    high: float
    """Both NaN where there are too few configurations on one side."""
    num_with: int
    num_without: int

    @property
    def has_interval(self) -> bool:
        """Whether an interval is known."""
        return not math.isnan(self.low)

    @property
    def is_told(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def contrast(
    values: Floats,  # (trials,), NaN where a trial has none
    inside: Flags,  # (trials,): one side
    outside: Flags,  # (trials,): the other
    clusters: npt.NDArray[np.int64],  # (trials,)
    options: Options,
    *,
    ratio: bool = False,
) -> Contrast:
    """Return the mean of `inside` minus that of `outside`; with `ratio` over it, less 1."""
    known = np.isfinite(values)
    sides = [side & known for side in (inside, outside)]
    nums = [int(side.sum()) for side in sides]
    if not all(nums):
        return Contrast(math.nan, math.nan, math.nan, *nums)
    table = np.stack([np.where(side, values, np.nan) for side in sides], axis=1)
    means = np.nanmean(table, axis=0)
    few = min(len(np.unique(clusters[side])) for side in sides)
    if few < FEWEST:
        return Contrast(float(_compared(means, ratio)), math.nan, math.nan, *nums)
    used = sides[0] | sides[1]
    rng = np.random.default_rng(options.seed)
    drawn = resampled_means(table[used], clusters[used], rng, options.draws).means
    found = np.asarray(_compared(drawn, ratio))[:, None]
    low, high = interval(Draws(found, few), options.level / 100)[0]
    return Contrast(float(_compared(means, ratio)), float(low), float(high), *nums)


def mean_of(
    values: Floats,  # (trials,), NaN where a trial has none
    clusters: npt.NDArray[np.int64],
    options: Options,
) -> Contrast:
    """Return the mean of `values`, as a contrast with nothing."""
    known = np.isfinite(values)
    num = int(known.sum())
    if not num:
        return Contrast(math.nan, math.nan, math.nan, 0, 0)
    rng = np.random.default_rng(options.seed)
    draws = resampled_means(values[known][:, None], clusters[known], rng, options.draws)
    low, high = interval(draws, options.level / 100)[0]
    return Contrast(float(values[known].mean()), float(low), float(high), num, 0)


def _compared(means: Floats, ratio: bool) -> Floats:  # (..., 2)
    found: Floats = means[..., 0] / means[..., 1] - 1 if ratio else means[..., 0] - means[..., 1]
    return found
