"""Forecast of a run: where it will be at a later step, how sure that is, and what it would gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.ahead import last_value, log_linear, look_ahead
from analysis.conformal import Pool, widening
from analysis.curves import Curve, Floats
from analysis.fitting import Extrapolation
from analysis.flags import CONSTANT, RESTART, TOO_FEW, WIDE, flags_of

_REFUSED = {TOO_FEW, CONSTANT}
_LEVELS = np.array([0.05, 0.1, 0.9, 0.95])
_AFTER_RESTART = 2.0
"""Bands after a restart are so much wider."""
_GRID = np.linspace(0, 1, 33)[1:]
_SHARE = 0.95
_PLAIN = (
    *("run", "seen_step", "target_step", "predicted", "lo80", "hi80", "lo90", "hi90"),
    *("last_value", "log_linear"),
)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Of one run and metric, in its unit; `None` is what nobody can tell."""

    run: str
    seen_step: float | None
    """Last evaluation that was used; `None` for a run without one."""
    target_step: float
    predicted: float | None = None
    lo80: float | None = None
    hi80: float | None = None
    lo90: float | None = None
    hi90: float | None = None
    last_value: float | None = None
    """Naive answer: nothing changes any more."""
    log_linear: float | None = None
    """Naive answer: the trend over log step goes on."""
    flags: tuple[str, ...] = ()
    level: float | None = None
    """The value now, without noise."""
    expected_gain: float | None = None
    """From `level` to `predicted`; positive is better."""
    chance: float | None = None
    """Probability that the gain over `level` is more than the threshold asked for."""
    step_of_95: float | None = None
    """Step at which 95% of the gain from the first evaluation to `predicted` is there."""
    gain_per_hour: float | None = None
    """Expected gain for each device-hour until `target_step`."""

    @property
    def can_tell(self) -> bool:
        """Tell whether the forecast says anything."""
        return self.predicted is not None and WIDE not in self.flags

    def plain(self) -> dict[str, Any]:
        """Return what `thaw forecast --json` prints of the run."""
        return {name: getattr(self, name) for name in _PLAIN} | {"flags": list(self.flags)}


def forecast(
    curve: Curve, target: float, pool: Pool, *, min_gain: float = 0.0, num_devices: int = 1
) -> Forecast:
    """Forecast a curve to the step `target`, which lies after its last.

    `pool` has the scores of other runs. `min_gain`, in the unit of the metric, is the gain whose
    probability is asked for; `num_devices` is what the run occupies, where its clock does
    not tell. Nothing is predicted from fewer than 5 evaluations since the last restart, nor of a
    constant metric.
    """
    flags = flags_of(curve, target)
    known: dict[str, Any] = {"run": curve.run, "target_step": target, "flags": flags}
    if not len(curve):
        return Forecast(seen_step=None, **known)
    seen = float(curve.steps[-1])
    known |= {"seen_step": seen, "last_value": last_value(curve)}
    if len(curve) > 1:
        known["log_linear"] = log_linear(curve, target)
    if _REFUSED.intersection(flags):
        return Forecast(**known)
    targets = seen * (target / seen) ** _GRID
    ahead = _within_limits(look_ahead(curve, targets), curve)
    ratio, scale = target / seen, _scale(ahead, target / seen, flags)
    lo90, lo80, hi80, hi90 = _band(curve, ahead, scale * pool.quantiles(ratio, _LEVELS))
    if hi80 - lo80 > np.ptp(curve.values):
        known["flags"] = (*flags, WIDE)
    gain = float(ahead.gains[-1])
    hours = curve.device_hours(target, num_devices)
    return Forecast(
        **known,
        predicted=float(curve.sign * (ahead.level + gain)) + 0.0,  # not -0.0
        lo80=lo80,
        hi80=hi80,
        lo90=lo90,
        hi90=hi90,
        level=float(curve.sign * ahead.level),
        expected_gain=gain,
        chance=pool.chance_above(ratio, (min_gain - gain) / scale),
        step_of_95=_step_of_share(curve, ahead, targets),
        gain_per_hour=gain / hours if hours > 0 else None,
    )


def _within_limits(ahead: Extrapolation, curve: Curve) -> Extrapolation:
    """Return what the metric can be at all."""
    least, most = sorted((curve.sign * curve.lower, curve.sign * curve.upper))
    level = float(np.clip(ahead.level, least, most))
    return replace(ahead, level=level, gains=np.minimum(ahead.gains, most - level))


def _scale(ahead: Extrapolation, ratio: float, flags: Sequence[str]) -> float:
    wider = _AFTER_RESTART if RESTART in flags else 1.0
    return float(ahead.scales[-1]) * widening(ratio) * wider


def _band(curve: Curve, ahead: Extrapolation, misses: Floats) -> list[float]:
    """Return the ends of both bands, rising; `misses` are (value - prediction) at `_LEVELS`."""
    outward = np.concatenate([np.minimum(misses[:2], 0), np.maximum(misses[2:], 0)])
    ends = curve.sign * (ahead.level + ahead.gains[-1] + outward)
    return sorted(map(float, np.clip(ends, curve.lower, curve.upper)))


def _step_of_share(curve: Curve, ahead: Extrapolation, targets: Floats) -> float | None:
    """Return the first step with 95% of the whole gain; `None` where there is no gain.

    In what was seen a step counts if it and the next two are there in the median.
    """
    first = float(curve.goodness[0])
    total = ahead.level + float(ahead.gains[-1]) - first
    if total <= 0:
        return None
    enough = first + _SHARE * total
    medians = np.median(np.lib.stride_tricks.sliding_window_view(curve.goodness, 3), axis=1)
    seen = np.flatnonzero(medians >= enough)
    if len(seen) and ahead.level >= enough:
        return float(curve.steps[seen[0]])
    coming = np.flatnonzero(ahead.level + ahead.gains >= enough)
    return float(targets[coming[0]])
