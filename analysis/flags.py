"""What makes a forecast doubtful, read off the curve; each flag is a word in its `flags`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.curves import Curve, Floats
from analysis.noise import noise_sd

MIN_EVALUATIONS = 5
MAX_RATIO = 3.0
"""Beyond so many times the steps seen a forecast is flagged `horizon`."""
_OLD_AT = 0.75
"""A best value before this share of the run is old."""
_NOISE = 3.0
"""So many noise sd below an old best the curve has turned down."""
_COLLAPSE = 6.0
"""A collapse is deeper than so many noise sd."""
_LR_DECAYED = 0.5
_LR_ENDED = 0.15
_LR_RISE = 1.5

TOO_FEW, CONSTANT, HORIZON = "too_few_points", "constant", "horizon"
OVERFITS, LR_DECAYED, RESTART, CENSORED = "overfits", "lr_decayed", "restart", "censored"
WIDE = "wide"
"""The 80% band is wider than all values seen: the forecast says nothing."""


def flags_of(curve: Curve, target: float) -> tuple[str, ...]:
    """Return the flags of a forecast of `curve` to the step `target`."""
    seen = curve.since(last_restart(curve))
    found = {
        TOO_FEW: len(seen) < MIN_EVALUATIONS,
        CONSTANT: len(seen) > 0 and bool(np.ptp(seen.values) == 0),
        HORIZON: len(seen) > 0 and target > MAX_RATIO * seen.steps[-1],
        OVERFITS: overfits(seen),
        LR_DECAYED: lr_decayed(seen),
        RESTART: curve.repeated or len(seen) < len(curve),
        CENSORED: curve.status == "stopped",
    }
    return tuple(name for name, holds in found.items() if holds)


def overfits(curve: Curve) -> bool:
    """Tell whether the best value is older than a quarter of the run, and not by noise.

    A monotone family must not extrapolate such a curve (curves.md).
    """
    if len(curve) < MIN_EVALUATIONS:
        return False
    goodness = curve.goodness
    best = int(np.argmax(goodness))
    lost = goodness[best] - float(np.median(goodness[-3:]))
    return bool(
        curve.steps[best] < _OLD_AT * curve.steps[-1] and lost > _NOISE * noise_sd(goodness)
    )


def lr_decayed(curve: Curve) -> bool:
    """Tell whether the learning rate is at most half of what it was; False if it is not logged."""
    if curve.lr is None or not _most(curve.lr) > 0:
        return False
    return bool(curve.lr[-1] <= _LR_DECAYED * _most(curve.lr))


def lr_ended(curve: Curve) -> bool:
    """Tell whether the decay is over: next to nothing is left, or it is low and stays there.

    Next to nothing is 15% of the peak, where cosines to a floor of 10% are at their end; low is
    half of it. It stays where the last quarter of the evaluations have one rate.
    """
    if curve.lr is None or not lr_decayed(curve):
        return False
    tail = curve.lr[-max(2, len(curve) // 4) :]
    return bool(curve.lr[-1] <= _LR_ENDED * _most(curve.lr) or np.ptp(tail) <= 1e-3 * tail[-1])


def before_decay(curve: Curve) -> int:
    """Return how many evaluations there were until the learning rate fell below half its peak."""
    if curve.lr is None:
        return len(curve)
    return int(np.flatnonzero(curve.lr > _LR_DECAYED * _most(curve.lr))[-1:].sum()) + 1


def last_restart(curve: Curve) -> int:
    """Return the first evaluation after the last restart, 0 where there is none.

    A restart is a learning rate that rises again after it had fallen by half, or a collapse.
    """
    rises = np.zeros(len(curve), dtype=bool)
    if curve.lr is not None and len(curve):
        top = np.maximum.accumulate(curve.lr)
        low = curve.lr[:-1] <= _LR_DECAYED * top[:-1]
        rises[1:] = low & (curve.lr[1:] > _LR_RISE * curve.lr[:-1])
    return int(np.flatnonzero(rises | _collapses(curve.goodness))[-1:].sum())


def _collapses(goodness: Floats) -> npt.NDArray[np.bool_]:
    """Tell for each value whether the curve starts anew there.

    It falls from the upper half of what was seen so far to the lowest tenth, by more than half of
    all values and more than noise, and the next one is low as well: a dip comes back at once.
    """
    found = np.zeros(len(goodness), dtype=bool)
    if len(goodness) < MIN_EVALUATIONS:
        return found
    worst = np.minimum.accumulate(goodness)[:-2]
    best = np.maximum.accumulate(goodness)[:-2]
    before, now, then = goodness[:-2], goodness[1:-1], goodness[2:]
    reach = best - worst
    least = max(np.ptp(goodness) / 2, _COLLAPSE * noise_sd(goodness))
    deep = (before > worst + reach / 2) & (now < worst + reach / 10) & (before - now > least)
    found[1:-1] = deep & (then < worst + reach / 2)
    return found


def _most(lr: Floats) -> float:
    return float(lr.max(initial=0.0))
