"""Ending a run when more of it is not worth its price: predicted gain per device-hour.

At the end of a phase the gain of the next one is forecast from the curve so far. What it costs is
known from the run's own clock. The run goes on while a device-hour gains at least as much as the
user says that it must; also where nobody can tell what it would gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.conformal import Pool
from analysis.curves import Curve
from analysis.forecast import forecast


@dataclass(frozen=True)
class Outlook:
    """What one more phase would bring."""

    gain: float | None
    """Predicted, positive is better; None where nobody can tell."""
    hours: float
    """Device-hours of the phase; NaN where the log has no times."""

    def pays(self, least_per_hour: float) -> bool:
        """Tell whether the phase gains at least so much for each device-hour, or nobody knows."""
        if self.gain is None or not self.hours > 0:
            return True
        return self.gain / self.hours >= least_per_hour


def outlook(curve: Curve, target: float, pool: Pool, *, num_devices: int = 1) -> Outlook:
    """Return what going on from the end of `curve` to the step `target` would bring and cost."""
    found = forecast(curve, target, pool, num_devices=num_devices)
    gain = found.expected_gain if found.can_tell else None
    return Outlook(gain, curve.device_hours(target, num_devices))


@dataclass(frozen=True)
class Replay:
    """A recorded run, had it been ended by its predicted gain."""

    stopped_at: float
    """Its last step: that of the whole run where every phase paid."""
    saved: float
    """Share of its steps that were saved, 0 to 1."""
    lost: float
    """By how much its best value so far falls short of that of the whole run, at least 0."""


def replay(curve: Curve, ends: Sequence[float], pool: Pool, least_per_step: float) -> Replay:
    """Replay a recorded run against the rule, with a price in gain for each step instead of hours.

    `ends` are the ends of the phases; a run is looked at there, and goes on to the next while the
    predicted gain is at least `least_per_step` for each step.
    """
    last = float(curve.steps[-1])
    stops = [end for end in ends if end < last]
    for end, following in zip(stops, [*stops[1:], last], strict=True):
        seen = curve.until(end)
        if not len(seen):
            continue
        found = forecast(seen, following, pool)
        if not found.can_tell or found.expected_gain is None:
            continue
        if found.expected_gain < least_per_step * (following - float(seen.steps[-1])):
            return _cut(curve, seen)
    return _cut(curve, curve)


def _cut(whole: Curve, seen: Curve) -> Replay:
    stopped, last = float(seen.steps[-1]), float(whole.steps[-1])
    lost = float(np.max(whole.goodness) - np.max(seen.goodness))
    return Replay(stopped, 1 - stopped / last, max(0.0, lost))
