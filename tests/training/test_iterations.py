"""Iterations as the unit of schedules: lengths, order, the LR of a run that is extended."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import torch

from tests.training.helpers import TinyTask
from training.curves import (
    Constant,
    ConstantCooldown,
    Cosine,
    Curve,
    Linear,
    OneCycle,
    Part,
    Poly,
    WarmUp,
)
from training.errors import UserError
from training.extension import extended
from training.order import epoch_order
from training.schedule import Facts, Schedule, Stage
from training.settings import Place, Settings
from training.task import facts_of
from training.walk import UNKNOWN, foresee

CURVES: dict[str, Curve] = {
    "constant": Constant(),
    "poly": Poly(floor=0.01),
    "poly to nothing": Poly(),
    "cosine": Cosine(floor=0.01),
    "cosine to nothing": Cosine(),
    "constant + cooldown": ConstantCooldown(cooldown=0.2, floor=0.01),
    "linear": Linear(floor=0.1),
    "one cycle": OneCycle(),
    "part": Part(of=Cosine(floor=0.01), after_epochs=10, of_epochs=42),
}
LENGTH, LONGER, PER_SEGMENT = 32, 45, 5
"""Segments: 320 units and 450, a segment each 10; and the steps of one."""


@cache
def facts() -> Facts:
    return facts_of(TinyTask(), seed=0, place=Place())


def schedule(curve: Curve | None, warmup: float = 0.0) -> Schedule:
    stage = Stage(
        name="all",
        epochs=LENGTH,
        segment_iterations=PER_SEGMENT,
        lr=0.5,
        curve=curve,
        warmup=WarmUp(epochs=warmup),
        batch_size=8,
    )
    return Schedule(stages=(stage,))


def settings_of(wanted: Schedule) -> list[Settings]:
    found: list[Settings] = []
    while (settings := wanted.next([UNKNOWN] * len(found), facts())) is not None:
        found.append(settings)
    return found


def lrs(wanted: Schedule) -> list[float]:
    return [lr for settings in settings_of(wanted) for lr in settings.lrs]


def test_yaml_takes_iterations_and_the_interval_of_validation() -> None:
    plain = {"name": "a", "lr": 1, "iterations": 80_000, "validate_every": 10_000}
    stage = Stage.parse(plain)
    assert (stage.epochs, stage.segment_iterations) == (8, 10_000)
    again = Schedule.parse(Schedule(stages=(stage,)).plain())
    assert again.stages[0] == stage


@pytest.mark.parametrize("every", [30_000, 0, None, "10k"])
def test_an_interval_that_does_not_divide_the_length_is_told(every: object) -> None:
    plain = {"name": "a", "lr": 1, "iterations": 80_000, "validate_every": every}
    with pytest.raises(UserError, match=f"validate_every: {every} must divide iterations, 80000"):
        Stage.parse(plain)


@pytest.mark.parametrize("field", ["epochs", "segment_iterations"])
def test_a_length_in_iterations_is_not_overruled_without_a_word(field: str) -> None:
    plain = {"name": "a", "lr": 1, "iterations": 100, "validate_every": 10, field: 5}
    with pytest.raises(UserError, match=f"{field}: is not allowed beside iterations"):
        Stage.parse(plain, "stages.0")


def test_a_segment_has_as_many_steps_as_it_says_over_several_passes() -> None:
    task = TinyTask(num=48)
    settings = settings_of(schedule(Constant()))[3]
    long = replace(settings, lrs=(0.1,) * 15)  # 15 steps of 8 are two and a half passes of 48
    order = epoch_order(task, long, 0)
    assert settings.num_steps == PER_SEGMENT and len(order) >= 15 * 8
    passes = [part.sort().values.tolist() for part in order[:96].split(48)]
    assert passes == [list(range(48))] * 2
    assert not torch.equal(order[:48], order[48:96])


def test_a_segment_shorter_than_a_pass_takes_another_part_each_time() -> None:
    first, second = (epoch_order(TinyTask(), s, 0) for s in settings_of(schedule(Constant()))[:2])
    assert len(first) == 48 and not torch.equal(first, second)


@pytest.mark.parametrize("warmup", [0.0, 2.0])
@pytest.mark.parametrize("name", CURVES)
def test_an_extended_run_goes_on_where_its_curve_ended(name: str, warmup: float) -> None:
    """Every step of 320 + 130 units: unchanged, then without a jump and not nothing."""
    short = schedule(CURVES[name], warmup)
    longer = extended(short, LONGER, facts())
    longer.check(facts())
    before, after = lrs(short), lrs(longer)
    assert after[: len(before)] == before
    added = after[len(before) :]
    assert len(added) == (LONGER - LENGTH) * PER_SEGMENT
    assert min(added) > 0
    usual = max(abs(b - a) for a, b in pairwise(before))
    jump = abs(added[0] - before[-1])
    assert jump <= usual + 1e-12, f"from {before[-1]:g} to {added[0]:g}, steps are {usual:g}"
    if name != "part":  # its own curve is longer than the run
        assert added == pytest.approx([before[-1]] * len(added), rel=1e-9)


@pytest.mark.parametrize("name", CURVES)
def test_extending_costs_the_difference(name: str) -> None:
    short = schedule(CURVES[name])
    keys = foresee(extended(short, LONGER, facts()), facts())
    assert keys[:LENGTH] == foresee(short, facts())
    assert len(set(keys)) - LENGTH == LONGER - LENGTH == 13


def test_a_curve_over_all_stages_is_held_too() -> None:
    short = schedule(None).model_copy(update={"curve": Cosine(floor=0.1)})
    before, after = lrs(short), lrs(extended(short, LONGER, facts()))
    assert after[len(before)] == pytest.approx(before[-1], rel=1e-9)


def test_a_run_can_be_extended_twice_and_once_more_from_an_lr() -> None:
    once = extended(schedule(Poly(floor=0.01)), 40, facts())
    twice = extended(once, LONGER, facts())
    assert lrs(twice)[: len(lrs(once))] == lrs(once)
    restarted = extended(once, LONGER, facts(), lr=0.25)
    assert lrs(restarted)[len(lrs(once))] == pytest.approx(0.25)


def test_who_wants_a_restart_gets_one() -> None:
    short = schedule(Cosine())
    after = lrs(extended(short, LONGER, facts(), lr=0.5))
    assert after[len(lrs(short))] == 0.5
