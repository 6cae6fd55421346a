"""What a run does next: the fit on what counts of its curve, and the two naive answers beside it.

The question is always that of going on with this run at the learning rate it has. A longer schedule
is another run: its gain comes with its own decay, which a curve that has ended cannot show.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.curves import Curve, Floats
from analysis.fitting import Extrapolation, extrapolate
from analysis.flags import MIN_EVALUATIONS, before_decay, last_restart, lr_ended, overfits

_MIN_FOR_TREND = 3
_LEAST_TIME = 1e-6


def look_ahead(curve: Curve, targets: Floats) -> Extrapolation:
    """Extrapolate a curve to steps after its last.

    Only what follows the last restart counts. A run that has turned down is given no gain.
    """
    seen = curve.since(last_restart(curve))
    ended = lr_ended(seen)
    found = (
        _at_low_rate(seen, targets) if ended else extrapolate(seen.steps, seen.goodness, targets)
    )
    return replace(found, gains=np.zeros(len(targets))) if overfits(seen) else found


def last_value(curve: Curve) -> float:
    """Return the value of the last evaluation."""
    return float(curve.values[-1])


def log_linear(curve: Curve, target: float) -> float:
    """Return the last value moved on by the trend over log step since half of the steps seen."""
    first = int(np.searchsorted(curve.steps, curve.steps[-1] / 2))
    first = max(0, min(first, len(curve) - _MIN_FOR_TREND))
    x, y = np.log(curve.steps[first:]), curve.values[first:]
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred)) if len(x) > 1 else 0.0
    return last_value(curve) + slope * float(np.log(target / curve.steps[-1]))


def _at_low_rate(curve: Curve, targets: Floats) -> Extrapolation:
    """Extrapolate a curve of which the decay of the learning rate is over.

    Time is learning rate times steps, and the gain to come is that of the trend before the decay:
    what the decay brought came once and is not carried on.
    """
    assert curve.lr is not None
    spent = np.cumsum(curve.lr * np.diff(curve.steps, prepend=0.0))
    times = np.maximum(spent, _LEAST_TIME * spent[-1])
    ends = spent[-1] + curve.lr[-1] * (targets - curve.steps[-1])
    found = extrapolate(times, curve.goodness, ends)
    num = before_decay(curve)
    if num < MIN_EVALUATIONS:
        return found
    trend = extrapolate(times[:num], curve.goodness[:num], np.concatenate([times[-1:], ends]))
    return replace(found, gains=np.maximum(0.0, trend.gains[1:] - trend.gains[0]))
