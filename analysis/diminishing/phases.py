"""Marginal gains: what each phase of training added, by run and in the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.bootstrap import Draws, interval, resampled_means
from analysis.diminishing.plan import Plan
from analysis.selection import Curves, indices_at, values_at
from analysis.steps import column

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Gains:
    """What each run gained in each phase; positive is better, NaN where an end has no value."""

    gains: Floats  # (runs, phases)
    hours: Floats  # (runs, phases): wall time of the phase, NaN where the log has none
    noise: Floats  # (runs,): a gain below it cannot be told from noise; NaN where nobody can tell
    complete: Flags  # (runs,)
    clusters: npt.NDArray[np.int64]  # (runs,): the number of the configuration

    def of(self, chosen: Flags) -> Gains:
        """Return the gains of some runs."""
        return Gains(
            self.gains[chosen],
            self.hours[chosen],
            self.noise[chosen],
            self.complete[chosen],
            self.clusters[chosen],
        )


@dataclass(frozen=True)
class Totals:
    """Mean gains of the complete runs, with what the bootstrap says of them."""

    means: Floats  # (phases,), NaN where no run has data
    num_runs: npt.NDArray[np.int64]  # (phases,)
    noise: Floats  # (phases,): a mean gain below it cannot be told from noise; NaN for unknown
    draws: Draws
    """Mean gain of each phase, by draw."""
    level: float
    """Of the intervals, a fraction."""

    @property
    def total(self) -> float:
        """Gain over all phases; NaN where one of them has no data."""
        return float(np.sum(self.means))

    @property
    def kept(self) -> Floats:
        """Share of the total gain at each phase end, the first included, in per cent.

        NaN where there is no total gain to keep a share of.
        """
        so_far: Floats = np.concatenate([[0.0], np.cumsum(self.means)])
        shares: Floats = 100 * so_far / (self.total if self.total > 0 else np.nan)
        return shares

    def kept_interval(self) -> Floats:
        """Return the interval of each of `kept`, (phases + 1, 2); both ends of it are exact."""
        so_far = np.cumsum(self.draws.means, axis=1)
        totals = so_far[:, -1:]
        shares = 100 * so_far / np.where(totals > 0, totals, np.nan)
        inner = interval(Draws(shares, self._fewest()), self.level)
        inner[-1] = np.nan
        return np.vstack([[np.nan, np.nan], inner])

    def total_interval(self) -> Floats:
        """Return the interval of the total gain, (2,)."""
        sums = self.draws.means.sum(axis=1, keepdims=True)
        ends: Floats = interval(Draws(sums, self._fewest()), self.level)[0]
        return ends

    def mean_interval(self) -> Floats:
        """Return the interval of each mean gain, (phases, 2)."""
        return interval(self.draws, self.level)

    def _fewest(self) -> int:
        """Return the configurations of the phase that has the fewest."""
        return int(self.draws.by_column.min())


def gains_of(curves: Curves, runs: pd.DataFrame, plan: Plan) -> Gains:
    """Return the gain of each run of `curves` in each phase; `runs` is its table of runs."""
    indices = indices_at(curves, np.array(plan.ends), plan.options.tolerance)
    values = values_at(curves, indices)
    hours = np.diff(values_at(curves, indices, curves.wall_s)) / 3600
    known = runs.iloc[: len(curves.runs)]
    return Gains(
        gains=plan.sign * np.diff(values),
        hours=np.where(hours > 0, hours, np.nan),
        noise=plan.options.noise * np.sqrt(2) * known["noise_sd"].to_numpy(np.float64),
        complete=(known["state"] == "complete").to_numpy(),
        clusters=known["configuration"].to_numpy(np.int64),
    )


def totals_of(gains: Gains, plan: Plan) -> Totals:
    """Return the mean gains over exactly the complete runs that have both ends of a phase."""
    counted = gains.of(gains.complete)
    has = np.isfinite(counted.gains)
    num_runs = has.sum(axis=0)
    divisor = np.where(num_runs, num_runs, np.nan)
    rng = np.random.default_rng(plan.options.seed)
    return Totals(
        means=np.where(has, counted.gains, 0).sum(axis=0) / divisor,
        num_runs=num_runs.astype(np.int64),
        noise=_noise_of_means(counted.noise, has),
        draws=resampled_means(counted.gains, counted.clusters, rng, plan.options.draws),
        level=plan.options.level / 100,
    )


def _noise_of_means(noise: Floats, has: Flags) -> Floats:  # (runs,), (runs, phases)
    """Return the noise of the mean gain of each phase over the runs that it has.

    A run of which nobody can tell counts as noisy as the others in the square mean: it is of the
    same metric, and one without noise would make the mean look surer. NaN where none is known.
    """
    known = has & np.isfinite(noise)[:, None]
    squares = np.where(known, noise[:, None] ** 2, 0).sum(axis=0)
    num = known.sum(axis=0) * has.sum(axis=0)
    found: Floats = np.sqrt(squares / np.where(num, num, np.nan))
    return found


def phases_table(totals: Totals, plan: Plan) -> pd.DataFrame:
    """Return a row for each phase; relative_to_first and the shares are in per cent.

    `share_of_total` is what all phases so far have of the total gain, `own_share` what this one
    has. Both are NaN where there is no total gain, and `relative_to_first` where the first phase
    has none. `within_noise` is missing where the noise is not known.
    """
    cumulative = np.cumsum(totals.means)
    first = totals.means[0] if totals.means[0] > 0 else np.nan
    within = pd.Series(np.abs(totals.means) < totals.noise, dtype="boolean")
    return pd.DataFrame(
        {
            "phase": plan.phase_names,
            "start": plan.ends[:-1],
            "end": plan.ends[1:],
            "mean_gain": totals.means,
            "relative_to_first": 100 * totals.means / first,
            "cumulative": cumulative,
            "share_of_total": totals.kept[1:],
            "num_runs": totals.num_runs,
            "interval": shown_intervals(totals.mean_interval()),
            "own_share": np.diff(totals.kept),
            "noise": totals.noise,
            "within_noise": within.mask(np.isnan(totals.noise)),
        }
    )


def shown_intervals(ends: Floats) -> list[str]:
    """Return (rows, 2) as they stand in a table: `[0.61, 0.9]`, empty where there is none."""
    return ["" if np.isnan(low) else f"[{low:.6g}, {high:.6g}]" for low, high in ends]


def marginal_table(curves: Curves, runs: pd.DataFrame, gains: Gains, plan: Plan) -> pd.DataFrame:
    """Return a row for each run with values: its gain in each phase, and whether it counts."""
    table = pd.DataFrame(gains.gains, columns=list(plan.phase_names))
    table.insert(0, "run", list(curves.runs))
    known = runs.iloc[: len(curves.runs)]
    table["noise"], table["state"] = gains.noise, known["state"]
    return in_order(table[known["num_points"] > 0], runs, plan)


def checkpoints_table(curves: Curves, runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return a row for each run with values: its value at each checkpoint and its peak."""
    indices = indices_at(curves, np.array(plan.checkpoints), plan.options.tolerance)
    names = [column(step) for step in plan.checkpoints]
    table = pd.DataFrame(values_at(curves, indices), columns=names)
    table.insert(0, "run", list(curves.runs))
    known = runs.iloc[: len(curves.runs)]
    for name in ("peak_step", "best", "robust_last", "last_step", "state"):
        table[name] = known[name]
    return in_order(table[known["num_points"] > 0], runs, plan)


def in_order(table: pd.DataFrame, runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return the rows with complete runs first, the best at the target before the others."""
    facts = runs.set_index("run").loc[table["run"]]
    order = np.lexsort(
        (
            table["run"].to_numpy(str),
            -plan.sign * facts["at_target"].fillna(facts["last"]).to_numpy(np.float64),
            (facts["state"] != "complete").to_numpy(),
        )
    )
    return table.iloc[order].reset_index(drop=True)
