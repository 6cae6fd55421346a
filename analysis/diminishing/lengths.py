"""How long to train: the shortest length that keeps a stated share of the gain, and its price."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.diminishing.phases import Gains, Totals, shown_intervals, totals_of
from analysis.diminishing.plan import Plan

PURPOSES = ("production", "research", "benchmark")
EVERYTHING = "all"
"""Scope and group of the rows over all complete runs."""


def recommendations_table(
    totals: Totals, gains: Gains, runs: pd.DataFrame, groups: tuple[str, ...], plan: Plan
) -> pd.DataFrame:
    """Return a row for each purpose, over all complete runs and over those of each group.

    A length keeps a share where its kept share, rounded to whole per cent, is no smaller. Where
    there is no gain at all, the shortest length is enough.
    """
    rows = list(_recommended(EVERYTHING, EVERYTHING, totals, gains, plan))
    for label, group, chosen in members(gains, runs, groups):
        found = gains.of(chosen)
        rows += _recommended(label, group, totals_of(found, plan), found, plan)
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else [])


def members(
    gains: Gains, runs: pd.DataFrame, groups: tuple[str, ...]
) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    """Yield each label, each of its values, and which runs have it."""
    known = runs.iloc[: len(gains.noise)]
    for label in groups:
        for group in sorted(set(known[label]) - {""}, key=str):
            yield label, str(group), (known[label] == group).to_numpy()


def _recommended(
    scope: str, group: str, totals: Totals, gains: Gains, plan: Plan
) -> Iterator[dict[str, object]]:
    intervals = shown_intervals(totals.kept_interval())
    gained = np.concatenate([[0.0], np.cumsum(totals.means)])
    for place, share in enumerate(plan.options.shares):
        at = _shortest(totals, share)
        named = len(plan.options.shares) == len(PURPOSES)
        yield {
            "scope": scope,
            "group": group,
            "purpose": PURPOSES[place] if named else f"{share:g}%",
            "share": share,
            "length": np.nan if at is None else plan.ends[at],
            "compute_multiple": np.nan if at is None else plan.multiple(plan.ends[at]),
            "kept_share": np.nan if at is None else totals.kept[at],
            "interval": "" if at is None else intervals[at],
            "gain": np.nan if at is None else gained[at],
            "num_runs": int(totals.num_runs.min()),
            "remark": _remark(totals, gains),
        }


def _shortest(totals: Totals, share: float) -> int | None:
    """Return the place of the first end that keeps `share` per cent; None without data."""
    if np.isnan(totals.total):
        return None
    if totals.total <= 0:
        return 0
    return int(np.flatnonzero(np.round(totals.kept) >= np.round(share))[0])


def _remark(totals: Totals, gains: Gains) -> str:
    if np.isnan(totals.total):
        return "no complete run has values at all phase ends"
    if totals.total <= 0:
        return "no gain over these phases"
    if totals.total < _noise_of_total(gains):
        return "the total gain is within noise"
    return "one run" if totals.num_runs.min() == 1 else ""


def _noise_of_total(gains: Gains) -> float:
    """Return what a total gain must reach to be told from noise.

    An evaluation between two phases ends one and begins the next: its noise counts only as far as
    the two are means over different runs. Runs of unknown noise count as the others do; NaN where
    that of none is known.
    """
    counted = gains.of(gains.complete)
    has = np.isfinite(counted.gains)
    shares = np.pad(has / np.maximum(has.sum(axis=0), 1), ((0, 0), (1, 1)))
    weights = np.diff(shares, axis=1)  # (runs, ends): of the value there, in the total
    known = counted.noise[np.isfinite(counted.noise)] ** 2
    others = known.mean() if len(known) else np.nan
    squares = np.where(np.isfinite(counted.noise), counted.noise**2, others)
    # the noise of a gain is that of two values
    return float(np.sqrt(np.sum(squares[:, None] / 2 * weights**2)))


def cost_table(totals: Totals, gains: Gains, plan: Plan) -> pd.DataFrame:
    """Return a row for each phase: its compute, and what a unit of compute gained.

    Compute is counted in base lengths. `relative_to_first` is in per cent of the first phase's gain
    per compute, and `pays` tells whether it is at least `--drop`. Hours are those of the complete
    runs whose logs have a wall clock.
    """
    compute = np.diff(plan.ends) / plan.base
    per_compute = totals.means / compute
    relative = 100 * per_compute / (per_compute[0] if per_compute[0] > 0 else np.nan)
    hours, per_hour, num_timed = _by_the_clock(gains)
    low, high = totals.mean_interval().T / compute
    return pd.DataFrame(
        {
            "phase": plan.phase_names,
            "start": plan.ends[:-1],
            "end": plan.ends[1:],
            "compute_multiple": compute,
            "mean_gain": totals.means,
            "gain_per_compute": per_compute,
            "interval": shown_intervals(np.stack([low, high], axis=1)),
            "relative_to_first": relative,
            "pays": np.where(np.isfinite(relative), relative >= plan.options.drop, per_compute > 0),
            "hours": hours,
            "gain_per_hour": per_hour,
            "num_runs": totals.num_runs,
            "num_timed": num_timed,
        }
    )


def _by_the_clock(gains: Gains) -> tuple[npt.NDArray[np.float64], ...]:
    """Return mean hours, gain per hour and number of runs of each phase, from timed runs only."""
    timed = np.isfinite(gains.hours) & np.isfinite(gains.gains) & gains.complete[:, None]
    number = timed.sum(axis=0)
    divisor = np.where(number, number, np.nan)
    hours = np.where(timed, gains.hours, 0).sum(axis=0) / divisor
    gained = np.where(timed, gains.gains, 0).sum(axis=0) / divisor
    return hours, gained / hours, number


def where_it_drops(cost: pd.DataFrame) -> str | None:
    """Return the first phase in which compute no longer pays, or None."""
    dropped = cost.loc[~cost["pays"] & cost["mean_gain"].notna(), "phase"]
    return None if dropped.empty else str(dropped.iloc[0])
