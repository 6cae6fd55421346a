"""What the source says of freezing, unfreezing, resizing and averaging, against what was measured.

The claims are expectations from the project's source documents, not facts: each is a range, and a
verdict says whether the measured interval agrees with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.transfer.contrast import Contrast, Flags, Floats, contrast, mean_of
from analysis.transfer.dimensions import EMA, MODE, RESIZE, ROLES, role_of
from analysis.transfer.effects import ends
from analysis.transfer.strategies import FREEZE, NONE, UNFREEZE, Sample, sample_of
from analysis.transfer.trials import Trials

CONFIRMED, REFUTED, UNKNOWN = "confirmed", "refuted", "cannot tell"
POINTS, TIME = "points", "time"
_OFF = frozenset({"", "0", "false", "none", "nothing", "no", "off"})


@dataclass(frozen=True)
class Compared:
    """Some runs against others, and what they are independent by."""

    sample: Sample
    inside: Flags
    outside: Flags


Sides = Callable[[Trials], Compared | None]
"""Returns None where the logs say nothing of the question."""


@dataclass(frozen=True)
class Claim:
    """An expectation: some runs against others, and the range in which their difference lies."""

    text: str
    role: str
    """Which dimension of a search it is about."""
    measure: str
    """`POINTS` of the metric, or `TIME` as a share."""
    low: float
    high: float
    """In points, or as a share of the other side's seconds."""
    sides: Sides


def _strategies(one: str, other: str) -> Sides:
    def sides(trials: Trials) -> Compared | None:
        sample = sample_of(trials)
        return None if sample is None else Compared(sample, sample.side(one), sample.side(other))

    return sides


def _switch(role: str) -> Sides:
    """Return the trials with a switch on, and those with it off; what was not asked is off.

    Where the switch says what grows, size alone is compared with nothing.
    """

    def sides(trials: Trials) -> Compared | None:
        dimension = role_of(trials.dimensions, role)
        if dimension is None:
            return None
        levels = dimension.levels.str.lower()
        on = levels == "size" if "size" in dimension.order else ~levels.isin(_OFF)
        off = levels == "nothing" if "size" in dimension.order else levels.isin(_OFF)
        runs = trials.table.assign(done=trials.finished)
        inside, outside = ((side & runs["done"]).to_numpy(bool) for side in (on, off))
        return Compared(Sample(runs, trials.clusters, of_seeds=False), inside, outside)

    return sides


_PAID = _strategies(UNFREEZE, FREEZE)
_FROZE = _strategies(FREEZE, NONE)
CLAIMS = (
    Claim("unfreezing takes 10-20 % more time than freezing", MODE, TIME, 0.10, 0.20, _PAID),
    Claim("unfreezing gains 1-3 points over freezing", MODE, POINTS, 1, 3, _PAID),
    Claim("freezing is 2-4 points worse than no freezing", MODE, POINTS, -4, -2, _FROZE),
    Claim("freezing is faster than no freezing", MODE, TIME, -1, 0, _FROZE),
    Claim("resizing cuts the time by about 40 %", RESIZE, TIME, -0.5, -0.3, _switch(RESIZE)),
    Claim("averaged weights (EMA) gain 0.3-0.7 points", EMA, POINTS, 0.3, 0.7, _switch(EMA)),
)
COLUMNS = "claim measured interval verdict num_with num_without measure remark"


def claims_table(trials: Trials) -> pd.DataFrame:
    """Return a row for each claim.

    `measured` is a difference of means over finished runs, in the unit of the logs, or a share of
    time. A claim is confirmed where the measured figure lies in its range and the interval excludes
    no difference at all; refuted where interval and range have nothing in common; else one cannot
    tell.
    """
    return pd.DataFrame([_checked(trials, claim) for claim in CLAIMS], columns=COLUMNS.split())


def _checked(trials: Trials, claim: Claim) -> dict[str, object]:
    compared = claim.sides(trials)
    if compared is None:
        return _row(claim, None, UNKNOWN, _without(trials, claim))
    of_time, sample = claim.measure == TIME, compared.sample
    values = sample.column("seconds") if of_time else trials.sign * sample.column("value")
    found = contrast(
        values,
        compared.inside,
        compared.outside,
        sample.blocks,
        trials.options,
        ratio=of_time,
    )
    if not of_time and trials.unit.name != "points":
        return _row(claim, found, UNKNOWN, f"{trials.metric} is not counted in points")
    if not found.has_interval:
        few = f"{found.num_with} against {found.num_without} finished runs: too few"
        return _row(claim, found, UNKNOWN, few)
    scale = 1.0 if of_time else trials.unit.scale
    return _row(claim, found, verdict(found, claim.low / scale, claim.high / scale), "")


def verdict(found: Contrast, low: float, high: float) -> str:
    """Return what an interval says of the range from `low` to `high`."""
    if found.high < low or found.low > high:
        return REFUTED
    return CONFIRMED if low <= found.difference <= high and found.is_told else UNKNOWN


def _row(claim: Claim, found: Contrast | None, verdict: str, remark: str) -> dict[str, object]:
    return {
        "claim": claim.text,
        "measured": math.nan if found is None else found.difference,
        "interval": "" if found is None else ends(found),
        "verdict": verdict,
        "num_with": 0 if found is None else found.num_with,
        "num_without": 0 if found is None else found.num_without,
        "measure": claim.measure,
        "remark": remark,
    }


def _without(trials: Trials, claim: Claim) -> str:
    names = ROLES[claim.role]
    pinned = next((name for name in names if name in trials.pinned), None)
    if pinned is not None:
        return f"all trials have {pinned} {trials.pinned[pinned]}"
    return f"the study has no dimension {names[0]}"


def epoch_cost(trials: Trials) -> Contrast:
    """Return the seconds of an epoch after the unfreezing over one before it, less 1.

    Each trial is compared with itself; the mean is over all trials with epochs on both sides.
    """
    ratio = trials.column("full_s") / trials.column("frozen_s") - 1
    return _mean(trials, ratio)


def gain_since_head(trials: Trials) -> Contrast:
    """Return what finished trials gained over the last epoch of their head alone."""
    gain = trials.sign * (trials.column("value") - trials.column("at_unfreezing"))
    return _mean(trials, np.where(trials.finished, gain, np.nan))


def _mean(trials: Trials, values: Floats) -> Contrast:
    return mean_of(values, trials.clusters, trials.options)
