"""A stopping rule: a trial ends where its next phase is not worth its device-hours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler

from analysis.conformal import RATIOS, pool_of
from analysis.curves import make_curve
from analysis.limits import limits_of
from analysis.metrics import unit_of
from analysis.stopping import outlook
from search_spaces.study import Study
from thaw.options import Options
from trainables.slot import TRIAL

REASON = "PREDICTED GAIN"
"""Who stopped a trial, as `ended` in the table says."""


class Worth:
    """Watches the curve of each trial, and says when it should not be paid for any longer."""

    def __init__(
        self,
        metric: str,
        mode: str,
        hours_per_point: float,
        phase: int,
        phases: Mapping[str, int] | None = None,
    ) -> None:
        """Pay at most `hours_per_point` device-hours for a point; look every `phase` epochs.

        `phases` are those of trials, by name, that have another one.
        """
        self._metric = metric
        self._mode = mode
        self._hours = hours_per_point
        self._phase = phase
        self._phases = phases or {}
        self._pool = pool_of(np.empty((0, len(RATIOS))))
        self._seen: dict[str, dict[int, tuple[float, float]]] = {}
        self._before_s: dict[str, float] = {}
        self.stopped: set[str] = set()
        """Names of the trials that were ended so."""

    def goes_on(self, name: str, num_epochs: int, result: dict[str, Any]) -> bool:
        """Take in the result of a segment; tell whether the next phase of the trial is worth it.

        A segment on other data, where the metric is NaN, says nothing; what is trained on them
        before the first epoch is no part of the price of one.
        """
        epoch, value = result["epoch"], result[self._metric]
        phase = self._phases.get(name, self._phase)
        if epoch < 1:
            self._before_s[name] = result["cost_s"]
        if epoch < 1 or not math.isfinite(value):
            return True
        cost_s = result["cost_s"] - self._before_s.get(name, 0.0)
        self._seen.setdefault(name, {})[epoch] = value, cost_s
        if epoch % phase or epoch >= num_epochs:
            return True
        seen = {e: known for e, known in sorted(self._seen[name].items()) if e <= epoch}
        values = [value for value, _ in seen.values()]
        lower, upper = limits_of(self._metric, np.array(values))
        curve = make_curve(name, list(seen), values, maximize=self._mode == "max")
        curve = replace(curve, lower=lower, upper=upper, step_s=cost_s / epoch)
        found = outlook(curve, min(epoch + phase, num_epochs), self._pool)
        scale = unit_of(self._metric, np.array(values)).scale
        if found.pays(1 / (scale * self._hours)):
            return True
        self.stopped.add(name)
        return False


def worth_of(
    options: Options, study: Study, phases: Mapping[str, int] | None = None
) -> Worth | None:
    """Return the rule that the options ask for, which looks each base length; None for none.

    `phases` are the base lengths of trials, by name, whose task differs from that of `study`.
    """
    if options.hours_per_point is None:
        return None
    return Worth(study.metric, study.mode, options.hours_per_point, study.grace_epochs, phases)


def watch(scheduler: TrialScheduler, worth: Worth) -> None:
    """Let a scheduler end the trials of which `worth` says so, besides those that it ends itself.

    Trials that are replayed from an earlier run are not judged again.
    """
    decide: Callable[[Any, Any, dict[str, Any]], str] = scheduler.on_trial_result

    def on_trial_result(controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision = decide(controller, trial, result)
        assignment = trial.config[TRIAL]
        schedule = assignment.spec.schedule
        num = sum(stage.epochs for stage in schedule.stages if stage.data == schedule.objective)
        goes_on = worth.goes_on(assignment.name, num, result)
        if decision == TrialScheduler.CONTINUE and not goes_on and not assignment.until:
            return TrialScheduler.STOP
        return decision

    scheduler.on_trial_result = on_trial_result  # type: ignore[method-assign,assignment]
