"""What was reached by the epoch of unfreezing, and against the moment when the head had settled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.bootstrap import Draws, interval, resampled_means
from analysis.transfer.contrast import FEWEST, Flags, Floats, contrast, mean_of
from analysis.transfer.effects import ends
from analysis.transfer.trials import Trials
from thaw.unfreeze.heads import Heads

BEFORE, AT, LATER = "before it had settled", "when it had settled", "later"
_AT_MOST = 1
"""Epochs after the head had settled that still count as then."""
_SEEDS = 3
"""New seeds from which on confirmations are looked at, and not the search."""


@dataclass(frozen=True)
class Sample:
    """The runs whose unfreezing is compared."""

    runs: pd.DataFrame
    """value, head_epochs, settled (by the longest head that began alike; NaN for not yet)."""
    blocks: npt.NDArray[np.int64]  # (runs,): drawn together
    of_seeds: bool
    """Whether these are new seeds of fixed schedules, and not trials of a search."""


@dataclass(frozen=True)
class Moments:
    """What each moment of unfreezing went with."""

    sample: Sample
    epochs: npt.NDArray[np.int64]  # (moments,): epochs of the head alone, without gaps
    means: Floats  # (moments,)
    drawn: Floats  # (draws, moments): means of resampled blocks, NaN where they are too few
    num_blocks: npt.NDArray[np.int64]  # (moments,): with a run there
    sign: int
    level: float
    """Of the intervals, in per cent."""

    @property
    def best(self) -> int:
        """Return the place of the best moment."""
        return int(np.argmax(self.sign * self.means))

    def costs(self, places: npt.NDArray[np.int64]) -> tuple[float, float, float]:
        """Return what is lost in the mean against the best moment, and its interval.

        `places` are moments, of trunks that count alike. The interval is NaN where it is unknown.
        """
        lost = self.sign * (self.means[self.best] - self.means[places])
        drawn = self.sign * (self.drawn[:, [self.best]] - self.drawn[:, places]).mean(axis=1)
        few = int(min(self.num_blocks[self.best], self.num_blocks[places].min()))
        low, high = interval(Draws(drawn[:, None], few), self.level / 100)[0]
        return float(lost.mean()), float(low), float(high)

    def best_between(self) -> tuple[float, float]:
        """Return between which epochs the best moment lies; NaN where that is not known."""
        known = self.drawn[np.isfinite(self.drawn[:, self.best])]
        if not len(known):
            return math.nan, math.nan
        tail = (1 - self.level / 100) / 2
        at = self.epochs[np.nanargmax(self.sign * known, axis=1)]
        low, high = np.quantile(at, [tail, 1 - tail], method="closest_observation")
        return float(low), float(high)

    def table(self) -> pd.DataFrame:
        """Return a row for each moment: epochs, num_runs, mean, cost, interval, told."""
        rows = []
        for place, epoch in enumerate(self.epochs):
            cost, low, high = self.costs(np.array([place]))
            told = place != self.best and (low > 0 or high < 0)
            known = place != self.best and not math.isnan(low)
            rows.append(
                {
                    "head_epochs": int(epoch),
                    "num_runs": int((self.sample.runs["head_epochs"] == epoch).sum()),
                    "mean": self.means[place],
                    "cost": cost,
                    "interval": f"[{low:.6g}, {high:.6g}]" if known else "",
                    "told": told,
                }
            )
        return pd.DataFrame(rows)


def sample_of(trials: Trials, heads: Heads) -> Sample:
    """Return confirmations over new seeds where they differ in the moment, else the search.

    The baseline and recipes, which differ from the search in all else too, are left out where the
    trials that were confirmed tell enough by themselves.
    """
    known = heads.table[["head_epochs", "trunk_settled"]].set_axis(
        ["head_epochs", "settled"], axis=1
    )
    every = trials.confirmed[["origin", "value", "seed"]].join(known, how="inner")
    names = {str(run).rpartition("/")[2] for run in trials.table.index}
    for seeds in (every[every["origin"].isin(names)], every):
        if seeds["head_epochs"].nunique() > 1 and seeds["seed"].nunique() >= _SEEDS:
            return Sample(seeds, seeds["seed"].to_numpy().astype(np.int64), of_seeds=True)
    clusters = pd.Series(trials.clusters, trials.table.index, name="cluster")
    done = trials.table.loc[trials.finished, ["value"]].join(clusters).join(known, how="inner")
    return Sample(done, done["cluster"].to_numpy(np.int64), of_seeds=False)


def moments_of(trials: Trials, sample: Sample) -> Moments | None:
    """Return the means by the moment of unfreezing; None for fewer than two moments.

    Of confirmations, a mean is over the runs of just that moment. Trials of a search differ in
    other choices too and are few for each moment: there it is over the moment and its neighbours.
    A moment between that nobody tried lies on the line between its neighbours.
    """
    values, at = sample.runs["value"].to_numpy(float), sample.runs["head_epochs"].to_numpy(float)
    if len(np.unique(at)) < 2:
        return None
    epochs = np.arange(int(at.min()), int(at.max()) + 1)
    reach = 0 if sample.of_seeds else 1
    near = np.abs(at[:, None] - epochs) <= reach
    columns = np.where(near, values[:, None], np.nan)  # (runs, moments)
    rng = np.random.default_rng(trials.options.seed)
    draws = resampled_means(columns, sample.blocks, rng, trials.options.draws)
    drawn, num_blocks = draws.means, draws.by_column
    tried = np.asarray(near.any(axis=0))
    means = np.array([values[n].mean() if n.any() else np.nan for n in near.T])
    if not sample.of_seeds:
        drawn[:, num_blocks < FEWEST] = np.nan
    return Moments(
        sample=sample,
        epochs=epochs,
        means=_between(means[None], tried)[0],
        drawn=_between(drawn, tried),
        num_blocks=_fewest_beside(num_blocks, tried),
        sign=trials.sign,
        level=trials.options.level,
    )


def _between(means: Floats, tried: Flags) -> Floats:  # (..., moments), (moments,)
    """Fill in the moments that nobody tried by the line between those beside them."""
    places = np.arange(len(tried))
    known = places[tried]
    lines = [np.interp(places, known, row[tried]) for row in means]
    return np.where(tried, means, np.array(lines))


def _fewest_beside(
    num_blocks: npt.NDArray[np.int64], tried: Flags
) -> npt.NDArray[np.int64]:  # (moments,)
    """Fill in the moments that nobody tried by the fewer of the two beside them."""
    places, known = np.arange(len(tried)), np.flatnonzero(tried)
    left = known[np.searchsorted(known, places, side="right") - 1]
    right = known[np.searchsorted(known, places)]
    return np.minimum(num_blocks[left], num_blocks[right])


def timing_table(trials: Trials, sample: Sample) -> pd.DataFrame:
    """Return what unfreezing before, when and after the head had settled went with.

    Columns: timing, num_runs, mean, interval, difference (to those that unfroze then; positive is
    better), difference_interval, told.
    """
    late = (sample.runs["head_epochs"] - sample.runs["settled"]).to_numpy(float)
    values = sample.runs["value"].to_numpy(float)
    sides = {
        BEFORE: ~(late >= 0),  # also where it never settled
        AT: (late >= 0) & (late <= _AT_MOST),
        LATER: late > _AT_MOST,
    }
    rows = []
    for name, side in sides.items():
        mean = mean_of(np.where(side, values, np.nan), sample.blocks, trials.options)
        row: dict[str, object] = {
            "timing": name,
            "num_runs": int(side.sum()),
            "mean": mean.difference,
            "interval": ends(mean),
            "difference": math.nan,
            "difference_interval": "",
            "told": False,
        }
        if name != AT:
            found = contrast(trials.sign * values, side, sides[AT], sample.blocks, trials.options)
            row |= {
                "difference": found.difference,
                "difference_interval": ends(found),
                "told": found.is_told,
            }
        rows.append(row)
    return pd.DataFrame(rows)
