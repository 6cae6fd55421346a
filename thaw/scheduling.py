"""Schedulers by name, and what their rungs compare."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from search_spaces.study import Study
from trainables.slot import TRIAL
from training.errors import unknown

SCHEDULERS = ("asha", "hyperband", "median", "none")
RUNGS = ("progress", "epochs")
_PERCENT = 100


def make_scheduler(study: Study, name: str, rung_by: str) -> TrialScheduler:
    """Return a scheduler; its time is the share of a trial's own schedule, or its epochs.

    Both count on the data set of the last stage only and never shrink. `progress` compares trials
    of different lengths fairly: half of a short schedule against half of a long one.
    """
    if name not in SCHEDULERS:
        raise unknown("--scheduler", name, SCHEDULERS)
    if rung_by not in RUNGS:
        raise unknown("--rung-by", rung_by, RUNGS)
    most = study.max_epochs if rung_by == "epochs" else _PERCENT
    grace = study.grace_epochs * most / study.max_epochs
    time_attr = "epoch" if rung_by == "epochs" else "progress"
    if name == "none":
        return FIFOScheduler()
    if name == "hyperband":
        return HyperBandScheduler(time_attr=time_attr, max_t=most, reduction_factor=3)
    made: TrialScheduler
    if name == "median":
        made = _replaying(MedianStoppingRule)(time_attr=time_attr, grace_period=grace)
    else:
        made = _replaying(ASHAScheduler)(
            time_attr=time_attr, max_t=most, grace_period=grace, reduction_factor=3
        )
    return made


def _replaying(kind: type[Any]) -> type[Any]:
    """Return a scheduler that learns from replayed trials, but does not decide on them again."""

    class Replaying(kind):  # type: ignore[misc]
        def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
            decision: str = super().on_trial_result(controller, trial, result)
            return TrialScheduler.CONTINUE if trial.config[TRIAL].until else decision

    return Replaying
