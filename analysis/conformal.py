"""Bands from what forecasts of other runs missed by (split conformal, keyed by horizon ratio).

A score is the miss of a back-test over its own scale: (value - predicted) / scale, more is better.
The bands of a run are quantiles of the scores of other runs, never of its own; where there are few,
a shipped table stands in for so many runs (`default_scores.py`). Bands from the fit alone would
cover 53-64% where they claim 80% (curves.md; Vovk, Gammerman and Shafer 2005; Papadopoulos 2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.curves import Floats
from analysis.default_scores import DEFAULT_SCORES

RATIOS = np.array([10 / 9, 5 / 4, 10 / 7, 2, 10 / 3, 5])
"""Target step over last step seen, at which forecasts are tried."""
DEFAULT_RUNS = 20.0
"""So many runs the shipped table counts for."""
_SPARE_RUNS = 0.5
"""Split conformal adds one run for what few runs leave open. The table rests on more runs than it
counts for: on real curves 80% bands covered 81-87% with one, 77-84% with none, 79-85% with half."""


@dataclass(frozen=True)
class Pool:
    """Distribution of scores at each ratio."""

    scores: tuple[Floats, ...]  # rising
    masses: tuple[Floats, ...]  # share of the runs up to the middle of each score
    num_runs: tuple[float, ...]

    def quantiles(self, ratio: float, levels: Floats) -> Floats:
        """Return the scores at `levels`, further out by what so many runs leave open."""
        before, after, share = _between(ratio)
        return (1 - share) * self._quantiles(before, levels) + share * self._quantiles(
            after, levels
        )

    def chance_above(self, ratio: float, score: float) -> float:
        """Return the share of runs that do better than `score`: never none of them, nor all."""
        before, after, share = _between(ratio)
        return 1 - (1 - share) * self._below(before, score) - share * self._below(after, score)

    def _below(self, at: int, score: float) -> float:
        least = 0.5 / (self.num_runs[at] + 1)
        found = np.interp(score, self.scores[at], self.masses[at], left=0.0, right=1.0)
        return float(np.clip(found, least, 1 - least))

    def _quantiles(self, at: int, levels: Floats) -> Floats:
        num = self.num_runs[at]
        wider = 0.5 + (levels - 0.5) * (num + _SPARE_RUNS) / num
        return np.interp(wider, self.masses[at], self.scores[at])


def pool_of(scores: Floats, default: Floats = DEFAULT_SCORES, weight: float = DEFAULT_RUNS) -> Pool:
    """Pool the `scores` of runs, (runs, ratios) with NaN for none, with a table of `weight` runs.

    `default` has quantiles at evenly spaced levels: (ratios, levels).
    """
    pooled = []
    for own, shipped in zip(scores.T, default, strict=True):
        own = own[np.isfinite(own)]
        values = np.concatenate([own, shipped])
        weights = np.concatenate([np.ones(len(own)), np.full(len(shipped), weight / len(shipped))])
        order = np.argsort(values, kind="stable")
        mass = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
        pooled.append((values[order], mass, float(weights.sum())))
    ordered, masses, totals = zip(*pooled, strict=True)
    return Pool(ordered, masses, totals)


def widening(ratio: float) -> float:
    """Return by how much more than the last of `RATIOS` a longer horizon is off."""
    return max(1.0, float(np.log(ratio) / np.log(RATIOS[-1])))


def _between(ratio: float) -> tuple[int, int, float]:
    """Return the ratios on both sides and how far it is from the first to the second, in log."""
    place = np.interp(np.log(ratio), np.log(RATIOS), np.arange(len(RATIOS), dtype=np.float64))
    before = min(int(place), len(RATIOS) - 2)
    return before, before + 1, float(place - before)
