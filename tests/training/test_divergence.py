"""When a trial has diverged: no finite loss, or one far above where it began."""

import math
from dataclasses import replace

import pytest

from tests.training.helpers import schedule, stage
from training.divergence import diverged
from training.record import Record
from training.walk import UNKNOWN

SCHEDULE = schedule(
    stage(name="head", epochs=2, groups={"head": 1.0, "*": "frozen"}),
    stage(name="full", epochs=3),
)


def history(*losses: float) -> list[Record]:
    plain = UNKNOWN.plain()
    return [Record(**{**plain, "metrics": {"train_loss": loss}}) for loss in losses]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_has_diverged(loss: float) -> None:
    assert diverged(SCHEDULE, history(loss))
    assert diverged(SCHEDULE, history(1.0, loss))


def test_a_loss_far_above_the_first_has_exploded() -> None:
    assert not diverged(SCHEDULE, history(1.0, 9.9))
    assert diverged(SCHEDULE, history(1.0, 10.1))
    assert diverged(SCHEDULE, history(1.0, 0.1, 10.1)), "in a later stage too"


def test_a_loss_that_rises_from_a_low_level_has_not_exploded() -> None:
    assert not diverged(SCHEDULE, history(2.0, 0.01, 1.0))


def test_only_what_can_be_compared_is_compared() -> None:
    weighted = SCHEDULE.model_copy(
        update={"stages": (SCHEDULE.stages[0], stage(name="full", epochs=3, loss={"loss": 50.0}))}
    )
    assert not diverged(weighted, history(1.0, 1.0, 50.0)), "other weights, another level"
    assert diverged(weighted, history(1.0, 1.0, 50.0, 501.0))


def test_a_trial_that_went_back_from_it_has_not_diverged() -> None:
    explodes = {"any": [{"kind": "explodes", "metric": "val_accuracy"}]}
    back = {"when": explodes, "lr": 0.5, "tries": 1}
    plan = schedule(SCHEDULE.stages[0], stage(name="full", epochs=3, roll_back=back))
    fine = {"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.8}
    blown = {"train_loss": math.nan, "val_loss": math.nan, "val_accuracy": 0.1}
    seen = [replace(UNKNOWN, data="target", metrics=one) for one in (fine, fine, blown)]
    assert diverged(SCHEDULE, seen) and not diverged(plan, seen)
    assert plan.event(seen).startswith("explodes: back to segment 1")
    assert diverged(plan, [*seen[:1], seen[2]]), "in a stage without the rule"
