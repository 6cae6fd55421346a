"""Settles what a report is about: what was asked for, and defaults that fit the logs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.diminishing.options import STANDARD_BASE, STANDARD_ENDS, Options
from analysis.logs import LogError
from analysis.metrics import Unit
from analysis.selection import Curves
from analysis.steps import phase_name, shown_step

Floats = npt.NDArray[np.float64]
_QUARTERS = 4
_FAST, _SLOW = 5 / 8, 5 / 4
"""Of the target: 200k and 400k of 320k."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides the tables of one report."""

    metric: str
    mode: str
    """`max` or `min`."""
    unit: Unit
    ends: tuple[float, ...]
    """Phase ends, in steps; counting starts at the first."""
    checkpoints: tuple[float, ...]
    base: float
    target: float
    fast_peak: float
    no_gain_after: float
    slow_peak: float
    options: Options
    chosen: tuple[str, ...]
    """What was not asked for but chosen, in sentences."""

    @property
    def sign(self) -> int:
        """Gains are differences times this: positive is better."""
        return 1 if self.mode == "max" else -1

    @property
    def phases(self) -> tuple[tuple[float, float], ...]:
        """Start and end of each phase."""
        return tuple(zip(self.ends, self.ends[1:], strict=False))

    @property
    def phase_names(self) -> tuple[str, ...]:
        """`90k-160k` and so on."""
        return tuple(phase_name(start, end) for start, end in self.phases)

    def multiple(self, length: float) -> float:
        """Return a length in base lengths: its compute."""
        return length / self.base


def settle(
    options: Options,
    metric: str,
    others: list[str],
    mode: str,
    unit: Unit,
    curves: Curves,
    stopped: frozenset[str] = frozenset(),
) -> Plan:
    """Return the plan; raise `LogError` where the options contradict each other.

    The runs that were `stopped` by others do not say how long runs are.
    """
    chosen = [] if options.metric else [_choice_of_metric(metric, others)]
    if options.mode == "auto":
        word = "higher" if mode == "max" else "lower"
        chosen.append(f"By its name, {word} {metric} is better; --mode says otherwise.")
    ends, base, said = _ends(options, curves, stopped)
    target = options.target or ends[-1]
    if len(ends) < 2 or ends[0] <= 0:
        raise LogError(
            "--phases: at least two ends are needed, all above 0"
            if options.phases
            else f"{metric}: no run has a value at a step above 0; there is no length to report on"
        )
    if target < ends[-1]:
        raise LogError(
            f"--target {shown_step(target)}: must not come before the last phase end, "
            f"{shown_step(ends[-1])}"
        )
    fast, slow = options.fast_peak or _FAST * target, options.slow_peak or _SLOW * target
    if fast > slow:
        raise LogError(
            f"--fast-peak {shown_step(fast)}: must not come after --slow-peak, {shown_step(slow)}"
        )
    return Plan(
        metric=metric,
        mode=mode,
        unit=unit,
        ends=ends,
        checkpoints=options.checkpoints or ends[1:],
        base=options.base or base,
        target=target,
        fast_peak=fast,
        no_gain_after=options.no_gain_after or ends[1],
        slow_peak=slow,
        options=options,
        chosen=(*chosen, *said),
    )


def _choice_of_metric(metric: str, others: list[str]) -> str:
    if not others:
        return f"The metric is {metric}; the logs have no other."
    most = 8
    more = f" and {len(others) - most} more" if len(others) > most else ""
    return f"No --metric was given: {metric}. Others: {', '.join(others[:most])}{more}."


def _ends(
    options: Options, curves: Curves, stopped: frozenset[str]
) -> tuple[tuple[float, ...], float, list[str]]:
    """Return phase ends, base length, and what to say of them."""
    if options.phases:
        standard = options.phases[0] == STANDARD_ENDS[0]
        return options.phases, STANDARD_BASE if standard else options.phases[0], []
    length = _usual_length(curves, stopped)
    standard_target = options.target in (None, STANDARD_ENDS[-1])
    if standard_target and STANDARD_ENDS[-1] <= length <= 2 * STANDARD_ENDS[-1]:
        return STANDARD_ENDS, STANDARD_BASE, []
    cause = _why_not_standard(length, standard_target)
    length = options.target or length
    quarters = [length * q / _QUARTERS for q in (1, 2, 3, 4)]
    snapped = [_snapped(quarter, length, curves) for quarter in quarters]
    near = {step for step in snapped if step is not None}
    ends = tuple(sorted(near if len(near) > 1 else quarters))
    names = ", ".join(map(shown_step, ends))
    return (
        ends,
        ends[0],
        [
            f"No --phases were given, and {cause}: the phases end near the quarters of "
            f"{shown_step(length)} ({names})."
        ],
    )


def _why_not_standard(length: float, standard_target: bool) -> str:
    standard = shown_step(STANDARD_ENDS[-1])
    if not standard_target:
        return f"the target is not the {standard} of the standard plan"
    if length < STANDARD_ENDS[-1]:
        return f"the runs do not reach {standard} as in the standard plan"
    return f"the runs go on for more than twice the {standard} of the standard plan"


def _usual_length(curves: Curves, stopped: frozenset[str]) -> float:
    """Return the largest step that at least half of the runs with values reach.

    Runs that were stopped count only where there are no others.
    """
    filled = np.flatnonzero(curves.num_points())
    free = [index for index in filled if curves.runs[index] not in stopped]
    filled = np.array(free) if free else filled
    lasts = np.sort(curves.steps[curves.offsets[filled + 1] - 1])[::-1]
    return float(lasts[(len(lasts) - 1) // 2])


def _snapped(step: float, length: float, curves: Curves) -> float | None:
    """Return the step near `step` at which most runs have a value, None where none has."""
    near = curves.steps[np.abs(curves.steps - step) <= length / (2 * _QUARTERS)]
    steps, counts = np.unique(near, return_counts=True)
    if not len(steps):
        return None
    often = steps[counts * 2 >= counts.max()]
    return float(often[np.argmin(np.abs(often - step))])
