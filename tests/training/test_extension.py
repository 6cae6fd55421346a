"""Schedules made longer share every segment of what they were."""

import pytest

from tests.thaw.helpers import FACTS
from training.curves import Constant, Cosine, Drop, OneCycle, Piecewise
from training.errors import UserError
from training.extension import extended
from training.schedule import Schedule, Stage
from training.walk import foresee

HEAD = Stage(name="head", epochs=2, lr=0.01, groups={"head": 1.0, "*": "frozen"})


def schedule(**last: object) -> Schedule:
    stage = Stage(name="full", epochs=3, lr=0.01).model_copy(update=last)
    return Schedule(stages=(HEAD, stage))


CURVES = [None, Constant(), Cosine(), OneCycle(), Piecewise(drops=(Drop(at_epoch=1, factor=0.1),))]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("lr", [None, 1e-4])
def test_all_segments_are_shared(curve: object, lr: float | None) -> None:
    short = schedule(curve=curve)
    longer = extended(short, 9, FACTS, lr=lr)
    longer.check(FACTS)
    keys = foresee(longer, FACTS)
    assert keys[:5] == foresee(short, FACTS) and len(set(keys)) == 9


@pytest.mark.parametrize("curve", [Constant(), CURVES[-1]])
def test_what_does_not_hang_on_the_length_equals_the_longer_schedule(curve: object) -> None:
    assert extended(schedule(curve=curve), 9, FACTS) == schedule(curve=curve, epochs=7)


def test_a_cosine_runs_once_more_with_the_same_optimizer() -> None:
    *_, before, added = extended(schedule(curve=Cosine()), 9, FACTS).stages
    assert (added.epochs, added.keep_optimizer, added.lr) == (4, True, before.lr)


@pytest.mark.parametrize("lr", [None, 1e-4])
def test_what_began_anew_does_not_begin_anew_in_the_middle(lr: float | None) -> None:
    longer = extended(schedule(curve=Cosine(), restart=True), 9, FACTS, lr=lr)
    assert [stage.restart for stage in longer.stages] == [False, True, False]
    assert Schedule.parse(longer.plain()) == longer


def test_an_lr_of_ones_own_is_taken() -> None:
    assert extended(schedule(curve=Constant()), 9, FACTS, lr=1e-4).stages[-1].lr == 1e-4


def test_a_curve_over_all_stages_stays_what_it_was() -> None:
    short = Schedule(stages=(HEAD, Stage(name="full", epochs=3, lr=0.01)), curve=Cosine())
    assert foresee(extended(short, 9, FACTS), FACTS)[:5] == foresee(short, FACTS)


def test_it_can_be_extended_again() -> None:
    once = extended(schedule(curve=Cosine()), 9, FACTS)
    assert foresee(extended(once, 12, FACTS), FACTS)[:9] == foresee(once, FACTS)


@pytest.mark.parametrize("num_epochs", [4, 5])
def test_nothing_to_add_is_told(num_epochs: int) -> None:
    with pytest.raises(UserError, match="has 5 epochs already"):
        extended(schedule(), num_epochs, FACTS)
