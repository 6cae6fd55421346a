"""What the curves of a run that was resumed say of it: exploded, stuck, slow, in a dip, on its way.

Pure functions over plain numbers, oldest first. `before` are the metrics up to the resume point,
whose last value is the run's there; `since` are those of the epochs after it. More is better, and
a metric is in [0, 1]. Nothing is judged by one epoch: the level of a run is the second best of its
last five epochs, which neither a lucky epoch nor a dip of three moves much, and a gain counts by
what is left of it after the noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

EXPLOSION, COLLAPSE = 6.0, 0.5
"""A loss so many times the last one, with a metric so small a share of the last one."""
STUCK_EPOCHS, STUCK_GAIN = 20, 0.01
"""No gain over the resume point is less than this after so many epochs."""
FIRST_CHECK, ENOUGH, FLAT = 10, 0.02, 0.005
"""After so many epochs a gain is enough to go on, or as good as none."""
SECOND_CHECK, ON_TARGET, SHORT = 30, 0.70, 0.66
"""After so many epochs a level is on its way to the target, or short of it."""
DIP_EPOCHS = 3
"""A dip that is longer is none."""
_RECENT = 5
_LEVEL_ERROR = 0.56  # of the second best of five normal values, in their standard deviation
_CERTAIN = 2.0
_DIP_NOISE = 4.0
_NORMAL_MAD = 1.4826


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What holds of a run after an epoch."""

    epoch: int
    """Epochs after the resume point."""
    kind: str
    """`explosion`, `stuck`, `slow`, `dip`, or a check's answer: `enough`, `flat`, `moving`,
    `on target`, `more epochs`, `short`."""
    because: str
    """The numbers."""
    advice: str
    """What to do."""


def level(values: Sequence[float]) -> float:
    """Return the second best of the last five values, or the only one; NaN where there is none."""
    recent = sorted(value for value in values[-_RECENT:] if not math.isnan(value))
    return recent[-2] if len(recent) > 1 else recent[-1] if recent else math.nan


def noise(values: Sequence[float]) -> float:
    """Return the standard deviation of a value around its trend, from the changes; 0 for fewer
    than three values."""
    changes = [after - before for before, after in pairwise(values) if after == after]
    changes = [change for change in changes if not math.isnan(change)]
    if len(changes) < 2:
        return 0.0
    middle = median(changes)
    return _NORMAL_MAD * median(abs(change - middle) for change in changes) / math.sqrt(2)


def gain(since: Sequence[float], before: Sequence[float]) -> tuple[float, float]:
    """Return the gain of the level over the resume point, and its standard error."""
    spread = noise([*before, *since])
    errors = [_LEVEL_ERROR if len(values) > 1 else 1.0 for values in (since, before)]
    return level(since) - level(before), spread * math.hypot(*errors)


def explodes(losses: Sequence[float], metrics: Sequence[float]) -> bool:
    """Tell whether the last epoch's loss leapt and the metric collapsed, or the loss is no number.

    One without the other is noise, or a new loss.
    """
    if losses and not math.isfinite(losses[-1]):
        return True
    if min(len(losses), len(metrics)) < 2:
        return False
    leaps = losses[-1] >= EXPLOSION * losses[-2]
    return leaps and not metrics[-1] > COLLAPSE * metrics[-2]


def is_stuck(
    since: Sequence[float],
    before: Sequence[float],
    *,
    epochs: int = STUCK_EPOCHS,
    least: float = STUCK_GAIN,
) -> bool:
    """Tell whether a run has surely gained less than `least` after at least `epochs` epochs.

    Not while it is in a dip: that passes.
    """
    if len(since) < epochs or in_dip(since, before):
        return False
    gained, error = gain(since, before)
    return gained + _CERTAIN * error < least


def is_slow(since: Sequence[float], before: Sequence[float], *, pace: float = 1.0) -> bool:
    """Tell whether a run has surely gained, but less than `ENOUGH` in each `FIRST_CHECK` epochs."""
    epochs = _epochs(STUCK_EPOCHS, pace)
    if len(since) < epochs or is_stuck(since, before, epochs=epochs):
        return False
    gained, error = gain(since, before)
    return gained > _CERTAIN * error and gained < ENOUGH * len(since) / (FIRST_CHECK * pace)


def in_dip(since: Sequence[float], before: Sequence[float]) -> bool:
    """Tell whether the last epoch lies clearly below what was, for at most `DIP_EPOCHS` epochs."""
    values = [*before, *since]
    for length in range(1, DIP_EPOCHS + 1):
        earlier = values[:-length]
        if len(earlier) < 2:
            return False
        least = level(earlier) - _DIP_NOISE * max(noise(earlier), FLAT / 2)
        if all(value < least for value in values[-length:]) and earlier[-1] >= least:
            return True
    return False


def first_check(since: Sequence[float], before: Sequence[float]) -> str:
    """Return `enough`, `flat` or `moving` for the gain after `FIRST_CHECK` epochs."""
    gained, error = gain(since, before)
    if gained >= ENOUGH:
        return "enough"
    is_flat = gained <= FLAT and gained + _CERTAIN * error < ENOUGH
    return "flat" if is_flat and not in_dip(since, before) else "moving"


def second_check(since: Sequence[float]) -> str:
    """Return `on target`, `more epochs` or `short` for the level after `SECOND_CHECK` epochs."""
    now = level(since)
    return "on target" if now >= ON_TARGET else "more epochs" if now >= SHORT else "short"


def stuck_since(values: Sequence[float]) -> int:
    """Return the first place from which on the level gained less than `STUCK_GAIN`.

    `values` are numbers, at least one.
    """
    now = level(values)
    return next(p for p in range(len(values)) if now - level(values[: p + 1]) < STUCK_GAIN)


_ADVICE = {
    "explosion": "stop; back to the last good segment, LR / 1.5, warm-up of 5 epochs",
    "stuck": "LR up to 4e-4, floor x 5, larger images",
    "slow": "keep going; extend to 150-180 epochs",
    "dip": "nothing: dips of 2-3 epochs are normal",
    "enough": "go on",
    "moving": "go on, and look again",
    "flat": "take the next option of the ladder",
    "on target": "go on to the target",
    "more epochs": "give it more epochs",
    "short": "take option 3: higher LR at a larger resolution",
}
ACTED_ON = frozenset({"explosion", "stuck", "flat", "short"})
"""Verdicts that call for a change."""


def verdicts(
    losses: Sequence[float],
    since: Sequence[float],
    before: Sequence[float],
    *,
    losses_before: Sequence[float] = (),
    pace: float = 1.0,
) -> tuple[Verdict, ...]:
    """Return what could be said after each epoch, in their order; what still holds is not repeated.

    `losses` and `since` are of the same epochs, as are `losses_before`, where they are known, and
    the last of `before`; `pace` is the number of them that stand for one
    epoch of the rules, 0.1 where all is ten times as short. The run ends with an explosion.
    """
    found: list[Verdict] = []
    holding: set[str] = set()
    for epoch in range(1, len(since) + 1):
        known = [*losses_before, *losses[:epoch]]
        if explodes(known, [*before, *since[:epoch]]):
            return (*found, _explosion(known[-1], since[:epoch], before))
        now = _at(since[:epoch], before, pace)
        found += [_verdict(kind, since[:epoch], before) for kind in now if kind not in holding]
        holding = set(now)
    return tuple(found)


def _at(since: Sequence[float], before: Sequence[float], pace: float) -> list[str]:
    """Return the kinds of verdicts that hold after the last epoch, but for an explosion."""
    kinds = []
    if len(since) == _epochs(FIRST_CHECK, pace):
        kinds.append(first_check(since, before))
    if len(since) == _epochs(SECOND_CHECK, pace):
        kinds.append(second_check(since))
    if is_stuck(since, before, epochs=_epochs(STUCK_EPOCHS, pace)):
        kinds.append("stuck")
    if is_slow(since, before, pace=pace):
        kinds.append("slow")
    if in_dip(since, before):
        kinds.append("dip")
    return kinds


def _epochs(num: int, pace: float) -> int:
    return max(1, round(num * pace))


def _explosion(loss: float, since: Sequence[float], before: Sequence[float]) -> Verdict:
    was = since[-2] if len(since) > 1 else before[-1]
    moved = f"from {was:.4f} to {since[-1]:.4f}"
    because = f"the metric fell {moved} as the loss leapt"
    if not math.isfinite(loss):
        because = f"the loss is no number; the metric went {moved}"
    advice = _ADVICE["explosion"]
    return Verdict(epoch=len(since), kind="explosion", because=because, advice=advice)


def _verdict(kind: str, since: Sequence[float], before: Sequence[float]) -> Verdict:
    gained, error = gain(since, before)
    because = f"{gained:+.4f} (± {error:.4f}) over the resume point after {len(since)} epochs"
    if kind in ("on target", "more epochs", "short"):
        because = f"level {level(since):.4f} after {len(since)} epochs"
    return Verdict(epoch=len(since), kind=kind, because=because, advice=_ADVICE[kind])
