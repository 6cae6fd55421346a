"""Verdicts on a curve: rules with thresholds, each with the numbers that it rests on.

Thresholds are those of the studies' documents (extended training: saturators and slow learners;
transfer learning: plateau and train-validation gap; camouflage: explosion and dips). Every rule
takes steps and values of one run in their order and ignores what is not finite, unless it says
otherwise; `mode` is `max` or `min`. A rule that has too little to go by does not hold, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.noise import MIN_EVALUATIONS, noise_sd

Floats = npt.NDArray[np.float64]
_MEDIAN_SD = 0.67
"""Noise of the median of three, in sd of one."""


@dataclass(frozen=True)
class Verdict:
    """Whether a rule holds, and why."""

    name: str
    holds: bool
    evidence: str


def fast_saturator(
    steps: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    mode: str = "max",
    peak_before_step: float = 200_000,
    no_gain_after_step: float = 160_000,
    min_gain: float = 0.0,
    censored: bool = False,
) -> Verdict:
    """Tell whether a run peaked early, or gained at most `min_gain` after a step.

    It must have gone on past that step; a run stopped by a pruner (`censored`) never saturates.
    """
    name = "fast saturator"
    at, good = _finite(steps, values, mode)
    if censored or not len(at):
        return Verdict(name, False, "stopped early" if censored else "no values")
    peak = at[int(np.argmax(good))]
    gain = _gain_after(at, good, no_gain_after_step)
    early = bool(peak < peak_before_step <= at[-1])
    evidence = f"peak at {peak:g} of {at[-1]:g}{f' < {peak_before_step:g}' if early else ''}"
    if np.isfinite(gain):
        evidence += f", gain after {no_gain_after_step:g}: {gain:+.4g}"
    return Verdict(name, early or bool(gain <= min_gain), evidence)


def slow_learner(
    steps: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    mode: str = "max",
    peak_after_step: float | None = 400_000,
    smoothed_sd: float | None = None,
) -> Verdict:
    """Tell whether a run peaked late, or is still improving at its end (see there)."""
    at, good = _finite(steps, values, mode)
    if not len(at):
        return Verdict("slow learner", False, "no values")
    peak = at[int(np.argmax(good))]
    improving = still_improving(at, good, smoothed_sd=smoothed_sd)
    late = peak_after_step is not None and bool(peak > peak_after_step)
    evidence = f"peak at {peak:g} of {at[-1]:g}{f' > {peak_after_step:g}' if late else ''}"
    return Verdict("slow learner", late or improving.holds, f"{evidence}, {improving.evidence}")


def still_improving(
    steps: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    mode: str = "max",
    over_share: float = 0.25,
    num_noise_sd: float = 2.0,
    min_gain: float = 0.0,
    smoothed_sd: float | None = None,
) -> Verdict:
    """Tell whether the gain over the last `over_share` of the steps is more than noise.

    Compared are medians of three evaluations, so that a single good one decides nothing. The gain
    must also be more than `min_gain`. Values that were smoothed do not tell their noise, and the
    median of three is hardly surer than one of them: `smoothed_sd` is the noise of one.
    """
    name = "still improving"
    at, good = _finite(steps, values, mode)
    if len(at) < MIN_EVALUATIONS:
        return Verdict(name, False, f"{len(at)} evaluations are too few to tell")
    before = max(3, int(np.searchsorted(at, (1 - over_share) * at[-1], "right")))
    gain = float(np.median(good[-3:]) - np.median(good[before - 3 : before]))
    sd = _MEDIAN_SD * noise_sd(good) if smoothed_sd is None else smoothed_sd
    noise = num_noise_sd * np.sqrt(2) * sd
    evidence = f"gain since {at[before - 2]:g}: {gain:+.4g} (noise {noise:.2g})"
    return Verdict(name, bool(gain > max(noise, min_gain)), evidence)


def plateau(
    steps: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    mode: str = "max",
    patience_evaluations: int = 5,
    min_gain: float = 0.0,
) -> Verdict:
    """Tell whether the last evaluations are better than all before by at most `min_gain`."""
    at, good = _finite(steps, values, mode)
    if len(at) <= patience_evaluations:
        return Verdict("plateau", False, f"{len(at)} evaluations are too few to tell")
    gain = float(good[-patience_evaluations:].max() - good[:-patience_evaluations].max())
    since = at[-patience_evaluations - 1]
    evidence = f"gain since {since:g}, in {patience_evaluations} evaluations: {gain:+.4g}"
    return Verdict("plateau", gain <= min_gain, evidence)


def overfitting(
    steps: npt.ArrayLike,
    train: npt.ArrayLike,
    validation: npt.ArrayLike,
    *,
    mode: str = "min",
    over_share: float = 0.5,
    num_noise_sd: float = 2.0,
) -> Verdict:
    """Tell whether validation falls behind training while it does not improve itself.

    `train` and `validation` are one metric at the same steps, by default a loss. The gap must widen
    over the last `over_share` of the steps by more than noise.
    """
    ahead = np.asarray(train, np.float64) - np.asarray(validation, np.float64)
    gap = still_improving(steps, ahead, mode=mode, over_share=over_share, num_noise_sd=num_noise_sd)
    own = still_improving(
        steps, validation, mode=mode, over_share=over_share, num_noise_sd=num_noise_sd
    )
    evidence = f"train-validation gap: {gap.evidence}; validation: {own.evidence}"
    return Verdict("overfitting", gap.holds and not own.holds, evidence)


def explosion(
    steps: npt.ArrayLike,
    loss: npt.ArrayLike,
    metric: npt.ArrayLike | None = None,
    *,
    mode: str = "max",
    loss_factor: float = 6.0,
    metric_left_share: float = 0.5,
) -> Verdict:
    """Tell whether the loss grew by `loss_factor` from one evaluation to the next.

    A loss that is no longer finite has exploded as well. Where a `metric` at the same steps is
    given, it must collapse in the same interval, to at most `metric_left_share` of its value
    (`mode` max) or to the inverse of that (min).
    """
    at, found = np.asarray(steps, np.float64), np.asarray(loss, np.float64)
    before, after = found[:-1], found[1:]
    grew = np.isfinite(before) & ((after >= loss_factor * np.abs(before)) | ~np.isfinite(after))
    grew &= before != 0
    if metric is not None:
        values = np.asarray(metric, np.float64)
        left, whole = (values[1:], values[:-1]) if mode == "max" else (values[:-1], values[1:])
        grew &= ~(left > metric_left_share * whole)
    where = np.flatnonzero(grew)
    if not len(where):
        return Verdict("explosion", False, f"no growth of the loss by {loss_factor:g}")
    first = int(where[0])
    evidence = (
        f"loss {found[first]:.4g} at {at[first]:g}, {found[first + 1]:.4g} at {at[first + 1]:g}"
    )
    if metric is not None:
        evidence += f"; metric {values[first]:.4g}, {values[first + 1]:.4g}"
    return Verdict("explosion", True, evidence)


def temporary_dip(
    steps: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    mode: str = "max",
    max_evaluations: int = 3,
    num_noise_sd: float = 5.0,
) -> Verdict:
    """Tell whether the curve fell below its best by more than noise and came back.

    It must be back, but for noise, within `max_evaluations` lower ones: dips of two or three
    epochs are normal. The deepest one is told.
    """
    name = "temporary dip"
    at, good = _finite(steps, values, mode)
    if len(at) < MIN_EVALUATIONS:
        return Verdict(name, False, f"{len(at)} evaluations are too few to tell")
    least = num_noise_sd * noise_sd(good)
    best = np.maximum.accumulate(good)
    low = good < best - least
    edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(np.int8)))
    dips = [
        (float((best - good)[start:end].max()), start, end)
        for start, end in edges.reshape(-1, 2).tolist()
        if end - start <= max_evaluations and end < len(good)
    ]
    if not dips:
        return Verdict(name, False, f"no dip deeper than {least:.2g} that came back")
    depth, start, end = max(dips)
    return Verdict(
        name, True, f"{depth:.4g} below the best from {at[start]:g}, back at {at[end]:g}"
    )


def _gain_after(at: Floats, good: Floats, step: float) -> float:
    """Return the best after `step` minus the best up to it; NaN where one of them is not there."""
    after = at > step
    return float(good[after].max() - good[~after].max()) if 0 < after.sum() < len(at) else np.nan


def _finite(steps: npt.ArrayLike, values: npt.ArrayLike, mode: str) -> tuple[Floats, Floats]:
    """Return steps and values without what is not finite; more is better."""
    if mode not in ("max", "min"):
        raise ValueError(f"mode must be max or min, got {mode!r}")
    at, found = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    known = np.isfinite(at) & np.isfinite(found)
    return at[known], (found[known] if mode == "max" else -found[known])
