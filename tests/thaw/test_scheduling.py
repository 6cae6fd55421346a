"""What rungs compare: shares of a schedule, epochs, or device-seconds."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from search_spaces.study import study
from thaw.scheduling import Clock, Pauses, make_scheduler
from trainables.slot import TRIAL
from training.errors import UserError

STUDY = study("unfreeze_timing")


def result(epoch: int, total: int = 16, cost_s: float = 0.0) -> dict[str, Any]:
    return {"epoch": epoch, "progress": 100 * epoch / total, "cost_s": cost_s, "val_accuracy": 0.5}


def test_by_progress_half_of_a_short_schedule_meets_half_of_a_long_one() -> None:
    clock = Clock(STUDY, "progress")
    assert clock.time(result(6, 12)) == clock.time(result(8, 16)) == 50
    assert (clock.most, clock.grace) == (100, 100 * 3 / 16)


def test_by_last_stage_nobody_is_judged_in_what_all_have_in_common() -> None:
    clock = Clock(STUDY, "last_stage")
    trunk, third = ({**result(9), "last_stage_progress": share} for share in (0.0, 100 / 3))
    assert clock.time(trunk) == 0 and clock.time(third) == clock.grace == 100 / 3


def test_by_epochs_lengths_do_not_matter() -> None:
    clock = Clock(STUDY, "epochs")
    assert clock.time(result(6, 12)) == clock.time(result(6, 16)) == 6
    assert (clock.most, clock.grace) == (16, 3)


def test_by_cost_the_first_trial_sets_the_unit_at_the_grace_period() -> None:
    clock = Clock(STUDY, "cost")
    assert clock.time(result(2, cost_s=20)) == 0, "nobody is judged before the unit is known"
    assert clock.time(result(3, cost_s=30)) == 3
    assert clock.time(result(1, cost_s=90)) == 9, "a dear epoch counts for as much as it costs"


def test_rungs_are_three_times_as_far_as_the_last() -> None:
    rungs = Clock(STUDY, "epochs").rungs()
    assert rungs.passes("a", 2.9, 0.5)
    assert not rungs.passes("a", 3, 0.5)
    assert rungs.promote("a", at_least=1) == "a"
    assert rungs.passes("a", 8.9, 0.5) and not rungs.passes("a", 9, 0.5)


def test_an_unknown_unit_is_told() -> None:
    with pytest.raises(UserError, match="allowed: progress, last_stage, epochs, cost"):
        Clock(STUDY, "progess")


def test_by_cost_no_trial_pauses_in_pretraining() -> None:
    clock = Clock(STUDY, "cost")
    assert clock.time(result(3, cost_s=30)) == 3
    scheduler = Pauses(clock, STUDY, clock.rungs())
    trial = SimpleNamespace(config={TRIAL: SimpleNamespace(name="0001")})
    pretrained = {**result(0, cost_s=90), "val_accuracy": math.nan}
    assert scheduler.on_trial_result(None, trial, pretrained) == "CONTINUE"


@pytest.mark.parametrize("value", [0.5, math.nan])
def test_a_trial_stops_where_it_must_pause(value: float) -> None:
    clock = Clock(STUDY, "epochs")
    scheduler = Pauses(clock, STUDY, clock.rungs())
    trial = SimpleNamespace(config={TRIAL: SimpleNamespace(name="0000")})
    decisions = [
        scheduler.on_trial_result(None, trial, {**result(epoch), "val_accuracy": value})
        for epoch in (2, 3)
    ]
    assert decisions == ["CONTINUE", "STOP"]


class Trial:
    """A trial as schedulers know it."""

    def __init__(self, name: str, until: int = 0) -> None:
        self.trial_id = name
        self.status = "RUNNING"
        self.config = {TRIAL: SimpleNamespace(name=name, until=until)}


def test_median_judges_a_trial_by_its_values_on_the_target_data() -> None:
    scheduler: Any = make_scheduler(STUDY, "median", "epochs")
    scheduler.set_search_properties("val_accuracy", "max")
    controller = SimpleNamespace(get_live_trials=list)
    decisions = []
    for name, value in zip("abcd", (0.5, 0.6, 0.7, 0.9), strict=True):
        trial = Trial(name)
        for epoch, shown in ((0, math.nan), (3, value), (4, value)):
            told = {**result(epoch), "val_accuracy": shown}
            decisions.append(scheduler.on_trial_result(controller, trial, told))
    assert set(decisions) == {"CONTINUE"}, decisions


@pytest.mark.parametrize("name", ["hyperband", "median", "asha"])
def test_replayed_trials_come_through_whatever_the_scheduler_thinks_of_them(name: str) -> None:
    scheduler: Any = make_scheduler(STUDY, name, "epochs")
    scheduler.set_search_properties("val_accuracy", "max")
    controller = SimpleNamespace(get_live_trials=list)
    trials = [Trial(letter, until=16) for letter in "abcdef"]
    for trial in trials:
        scheduler.on_trial_add(controller, trial)
    decisions = [
        scheduler.on_trial_result(controller, trial, {**result(epoch), "val_accuracy": value})
        for epoch in range(1, 17)
        for trial, value in zip(trials, (0.9, 0.8, 0.7, 0.6, 0.5, 0.1), strict=True)
    ]
    assert set(decisions) == {"CONTINUE"}
    for trial in trials:
        scheduler.on_trial_complete(controller, trial, result(16))
