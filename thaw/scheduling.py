"""Schedulers by name, and what their rungs compare."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from search_spaces.study import Study
from thaw.population import Population
from thaw.promotion import Pausing, Rungs
from trainables.slot import TRIAL
from training.errors import unknown

SCHEDULERS = ("asha", "asha-promote", "hyperband", "median", "pbt", "none")
PAUSING = ("asha-promote", "pbt")
"""Those whose trials pause and go on: a search that goes on decides again, and ends alike."""
RUNGS = ("progress", "last_stage", "epochs", "cost")
_TIMES = {"progress": "progress", "last_stage": "last_stage_progress"}
_REDUCTION = 3
_TIME = "rung_time"
_PERCENT = 100


class Clock:
    """How far a trial is, in the unit that rungs compare; it never runs backwards.

    `progress`: per cent of the trial's own schedule, so that half of a short one meets half of a
    long one. `last_stage`: per cent of its last stage, for trials that all begin alike: nobody is
    judged in the stages before, and first after a third of it. `epochs`: epochs. All count on the
    data set of the last stage only. `cost`: device-seconds of all its segments, whoever trained
    them, in units in which the first trial that comes through the grace period took as many as that
    has epochs; nobody is judged before.
    """

    def __init__(self, study: Study, by: str) -> None:
        """Raise `UserError` where `by` is none of `RUNGS`."""
        if by not in RUNGS:
            raise unknown("--rung-by", by, RUNGS)
        self._by = by
        self._grace_epochs = study.grace_epochs
        self._unit_s: float | None = None
        self.most = float(_PERCENT if by in _TIMES else study.max_epochs)
        self.grace = study.grace_epochs * self.most / study.max_epochs
        if by == "last_stage":
            self.grace = self.most / _REDUCTION

    def time(self, result: dict[str, Any]) -> float:
        """Return how far the trial of a result is."""
        if self._by != "cost":
            return float(result[_TIMES.get(self._by, "epoch")])
        if self._unit_s is None and result["epoch"] >= self._grace_epochs:
            self._unit_s = max(result["cost_s"], 1e-9) / self._grace_epochs
        return 0.0 if self._unit_s is None else result["cost_s"] / self._unit_s

    def rungs(self) -> Rungs:
        """Return empty rungs from the grace period on, each three times as far as the last."""
        milestones = [self.grace]
        while milestones[-1] * _REDUCTION < self.most:
            milestones.append(milestones[-1] * _REDUCTION)
        return Rungs(milestones, reduction=_REDUCTION)


class Pauses(FIFOScheduler):
    """Stops trials when they must pause; the searcher starts them again."""

    def __init__(self, clock: Clock, study: Study, pausing: Pausing) -> None:
        """Show `pausing` the study's metric at the times of `clock`."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.pausing = pausing
        self._clock = clock
        self._study = study

    def __getstate__(self) -> dict[str, Any]:
        """Hand nothing to the pickle that Tune writes: a search goes on by replay, not from it."""
        return {}

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Let a trial go on that need not pause: before its first epoch there is no value."""
        if result["epoch"] < 1:
            return TrialScheduler.CONTINUE
        value = result[self._study.metric] * (1 if self._study.mode == "max" else -1)
        name = trial.config[TRIAL].name
        goes_on = self.pausing.passes(name, self._clock.time(result), value)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP


def make_scheduler(
    study: Study, name: str, rung_by: str, population: Callable[[float], Population] | None = None
) -> TrialScheduler:
    """Return a scheduler by name; `pbt` needs a maker of populations, by their interval.

    Raises `UserError` for what is unknown.
    """
    if name not in SCHEDULERS:
        raise unknown("--scheduler", name, SCHEDULERS)
    clock = Clock(study, rung_by)
    if name == "none":
        return FIFOScheduler()
    if name == "asha-promote":
        return Pauses(clock, study, clock.rungs())
    if name == "pbt":
        assert population is not None
        return Pauses(clock, study, population(clock.grace))
    made: TrialScheduler
    if name == "hyperband":
        made = _timed(_Brackets, clock, study.metric, _Brackets.on_trial_result)(
            time_attr=_TIME, max_t=round(clock.most), reduction_factor=_REDUCTION
        )
    elif name == "median":
        made = _timed(
            MedianStoppingRule, clock, study.metric, MedianStoppingRule.on_trial_complete
        )(time_attr=_TIME, grace_period=clock.grace)
    else:
        made = _timed(ASHAScheduler, clock, study.metric, ASHAScheduler.on_trial_result)(
            time_attr=_TIME,
            max_t=clock.most,
            grace_period=clock.grace,
            reduction_factor=_REDUCTION,
            stop_last_trials=False,
        )
    return made


class _Brackets(HyperBandScheduler):
    """HyperBand without the trials that are replayed.

    Those never pause: a bracket would wait for them in vain, or drop them while they run.
    """

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        if not _replayed(trial):
            super().on_trial_add(controller, trial)

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if _replayed(trial):
            return TrialScheduler.CONTINUE
        decision: str = super().on_trial_result(controller, trial, result)
        return decision

    def on_trial_remove(self, controller: Any, trial: Any) -> None:
        if not _replayed(trial):
            super().on_trial_remove(controller, trial)


def _timed(
    kind: type[Any], clock: Clock, metric: str, replay: Callable[[Any, Any, Any, Any], object]
) -> type[Any]:
    """Return a scheduler that goes by `clock` and does not decide on replayed trials again.

    `replay` is the method by which it takes in their results. It does not see results without a
    value, as those of segments on other data are.
    """

    class Timed(kind):  # type: ignore[misc]
        def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
            timed = {**result, _TIME: clock.time(result)}
            if math.isnan(result[metric]):
                return TrialScheduler.CONTINUE
            if _replayed(trial):
                replay(self, controller, trial, timed)
                return TrialScheduler.CONTINUE
            decision: str = super().on_trial_result(controller, trial, timed)
            return decision

        def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
            timed = {**result, _TIME: clock.time(result)}
            super().on_trial_complete(controller, trial, timed)

    return Timed


def _replayed(trial: Any) -> bool:
    return bool(trial.config[TRIAL].until)
