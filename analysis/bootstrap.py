"""Intervals by the bootstrap over whole runs, clustered by configuration.

Points of one run are never drawn apart: they lean on each other. Runs of one configuration (its
seeds) are drawn together. Intervals are expanded percentiles: plain ones of few configurations are
too narrow (Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician
69(4), 2015, section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_CELLS = 4_000_000
"""Drawn cluster numbers held at once."""
_FEWEST = 3
"""Clusters: of fewer there is no interval."""


@dataclass(frozen=True)
class Draws:
    """Means of resampled runs."""

    means: Floats  # (draws, columns)
    num_clusters: int
    """From which was drawn."""
    num_known: Ints | None = None  # (columns,)
    """Clusters with a value; None where all have one."""

    @property
    def by_column(self) -> Ints:
        """Clusters with a value, (columns,)."""
        known = self.num_clusters if self.num_known is None else self.num_known
        return np.broadcast_to(known, self.means.shape[1:])


def resampled_means(
    values: Floats,  # (runs, columns), NaN where a run has no value
    clusters: Ints,  # (runs,), the number of the configuration
    rng: np.random.Generator,
    num_draws: int,
) -> Draws:
    """Draw configurations with replacement, and return the means of their runs.

    A draw in which no run has a value is NaN; so are all of a column in which fewer than three
    configurations have one, which say too little about the spread.
    """
    num_columns = values.shape[1]
    names, places = np.unique(clusters, return_inverse=True)
    sums, counts = np.zeros((2, len(names), num_columns))
    np.add.at(sums, places, np.nan_to_num(values))
    np.add.at(counts, places, np.isfinite(values))
    known = (counts > 0).sum(axis=0).astype(np.int64)
    means = np.full((num_draws, num_columns), np.nan)
    enough = known >= _FEWEST
    size = max(1, _CELLS // max(1, len(names)))
    for start in range(0, num_draws if enough.any() else 0, size):
        weights = _weights(rng, len(names), min(size, num_draws - start))
        drawn = weights @ counts
        drawn[drawn == 0] = np.nan
        means[start : start + size] = weights @ sums / drawn
    means[:, ~enough] = np.nan
    return Draws(means, len(names), known)


def interval(draws: Draws, level: float) -> Floats:
    """Return the interval at `level` (a fraction) of each column, (columns, 2).

    Draws that are NaN are left out; a column of NaN gives NaN.
    """
    result = np.full((draws.means.shape[1], 2), np.nan)
    for column, (means, num) in enumerate(zip(draws.means.T, draws.by_column, strict=True)):
        if np.isfinite(means).any():
            tail = _expanded_tail((1 - level) / 2, int(num))
            result[column] = np.nanquantile(means, [tail, 1 - tail])
    return result


def _expanded_tail(tail: float, num_clusters: int) -> float:
    student = special.stdtrit(num_clusters - 1, tail)
    return float(special.ndtr(np.sqrt(num_clusters / (num_clusters - 1)) * student))


def _weights(rng: np.random.Generator, num_clusters: int, num_draws: int) -> Floats:
    """Return how often each cluster is drawn, (draws, clusters)."""
    drawn = rng.integers(num_clusters, size=(num_draws, num_clusters))
    shifted = drawn + num_clusters * np.arange(num_draws)[:, None]
    counted = np.bincount(shifted.ravel(), minlength=num_draws * num_clusters)
    return counted.reshape(num_draws, num_clusters).astype(np.float64)
