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

from analysis.unfreezing.contrast import Contrast, Flags, Floats, contrast, mean_of
from analysis.unfreezing.dimensions import EMA, MODE, RESIZE, ROLES, Dimension, role_of
from analysis.unfreezing.effects import ends
from analysis.unfreezing.trials import Trials

SUPPORTED, NOT_SUPPORTED, UNKNOWN = "supported", "not supported", "cannot be told"
POINTS, TIME = "points", "time"
_OFF = frozenset({"", "0", "false", "none", "nothing", "no", "off"})
Sides = Callable[[Dimension], tuple[Flags, Flags]]


@dataclass(frozen=True)
class Claim:
    """An expectation: some trials against others, and the range in which their difference lies."""

    text: str
    role: str
    """Which dimension it is about."""
    measure: str
    """`POINTS` of the metric, or `TIME` as a share."""
    low: float
    high: float
    """In points, or as a share of the other side's seconds."""
    sides: Sides


def _modes(one: tuple[str, ...], other: tuple[str, ...]) -> Sides:
    def sides(dimension: Dimension) -> tuple[Flags, Flags]:
        levels = dimension.levels.str.lower()
        return levels.isin(one).to_numpy(bool), levels.isin(other).to_numpy(bool)

    return sides


def _switch(dimension: Dimension) -> tuple[Flags, Flags]:
    """Return the trials with a switch on, and those with it off; what was not asked is off."""
    off = dimension.levels.str.lower().isin(_OFF).to_numpy(bool)
    return ~off, off


def _resized(dimension: Dimension) -> tuple[Flags, Flags]:
    """Return the trials in which the size grows and nothing else, and those without."""
    if "size" in dimension.order:
        return _modes(("size",), ("nothing",))(dimension)
    return _switch(dimension)


_UNFREEZE, _FREEZE, _NONE = ("unfreeze",), ("freeze",), ("none",)
CLAIMS = (
    Claim(
        "unfreezing takes 10-20 % more time than freezing",
        MODE,
        TIME,
        0.10,
        0.20,
        _modes(_UNFREEZE, _FREEZE),
    ),
    Claim(
        "unfreezing gains 1-3 points over freezing",
        MODE,
        POINTS,
        1,
        3,
        _modes(_UNFREEZE, _FREEZE),
    ),
    Claim(
        "freezing is 2-4 points worse than no freezing",
        MODE,
        POINTS,
        -4,
        -2,
        _modes(_FREEZE, _NONE),
    ),
    Claim(
        "freezing is faster than no freezing",
        MODE,
        TIME,
        -1,
        0,
        _modes(_FREEZE, _NONE),
    ),
    Claim("resizing cuts the time by about 40 %", RESIZE, TIME, -0.5, -0.3, _resized),
    Claim("averaged weights (EMA) gain 0.3-0.7 points", EMA, POINTS, 0.3, 0.7, _switch),
)
COLUMNS = "claim measured interval verdict num_with num_without measure remark"


def claims_table(trials: Trials) -> pd.DataFrame:
    """Return a row for each claim.

    `measured` is a difference of means over finished trials, in the unit of the logs, or a share of
    time. A claim is supported where the measured figure lies in its range and the interval excludes
    no difference at all; not supported where interval and range have nothing in common; else it
    cannot be told.
    """
    return pd.DataFrame([_checked(trials, claim) for claim in CLAIMS], columns=COLUMNS.split())


def _checked(trials: Trials, claim: Claim) -> dict[str, object]:
    dimension = role_of(trials.dimensions, claim.role)
    if dimension is None:
        return _row(claim, None, UNKNOWN, _without(trials, claim))
    inside, outside = claim.sides(dimension)
    done = trials.finished
    of_time = claim.measure == TIME
    values = trials.column("seconds") if of_time else trials.sign * trials.column("value")
    found = contrast(
        values, inside & done, outside & done, trials.clusters, trials.options, ratio=of_time
    )
    if not of_time and trials.unit.name != "points":
        return _row(claim, found, UNKNOWN, f"{trials.metric} is not counted in points")
    if not found.has_interval:
        few = f"{found.num_with} against {found.num_without} finished trials: too few"
        return _row(claim, found, UNKNOWN, few)
    scale = 1.0 if of_time else trials.unit.scale
    return _row(claim, found, verdict(found, claim.low / scale, claim.high / scale), "")


def verdict(found: Contrast, low: float, high: float) -> str:
    """Return what an interval says of the range from `low` to `high`."""
    if found.high < low or found.low > high:
        return NOT_SUPPORTED
    return SUPPORTED if low <= found.difference <= high and found.is_told else UNKNOWN


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
