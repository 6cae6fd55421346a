"""The study of LR sequences: 153 points, the bound of its grid, and any system."""

from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest

from search_spaces.dimensions import Ask
from search_spaces.grid import grid
from search_spaces.lr_sequence import NUM_EPOCHS, STUDY, lr_sequence
from search_spaces.study import Study, config_of
from tests.conformance.helpers import task_of
from training.schedule import Facts, Schedule
from training.settings import Place
from training.task import facts_of
from training.walk import foresee

MOONS = str(Path(__file__).parents[2] / "docs/own/moons_system.py")
SYSTEMS = ("classifier", MOONS)


def points(study: Study, **pinned: Any) -> list[dict[str, Any]]:
    return [values | pinned for values in grid(study, config_of(study, {}), pinned)]


def schedule(study: Study, values: dict[str, Any]) -> Schedule:
    return study.space(Ask(optuna.trial.FixedTrial(values), {}), config_of(study, {}), 0)


@cache
def facts(system: str) -> Facts:
    return facts_of(task_of(system), seed=0, place=Place())


@cache
def last_stages(system: str, factors: tuple[float, ...] = (0.3, 0.1)) -> list[tuple[str, ...]]:
    """The keys of the last stage of every point of the grid."""
    study = lr_sequence(system, factors=factors)
    schedules = [schedule(study, values) for values in points(study)]
    return [foresee(found, facts(system))[-NUM_EPOCHS:] for found in schedules]


def sequence(**values: Any) -> list[float]:
    """The LR at the end of each epoch of the last stage."""
    found = schedule(lr_sequence(MOONS), values)
    history: list[Any] = []
    while (settings := found.next(history, facts(MOONS))) is not None:
        assert len(set(settings.lrs)) == 1, "a drop within an epoch"
        history.append(settings)
    return [settings.lrs[-1] for settings in history]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_grid_has_153_points_and_all_are_different_trials(system: str) -> None:
    assert len(points(lr_sequence(system))) == 153
    assert len(set(last_stages(system))) == 153


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_bound_of_the_last_stage_is_that_of_the_literature(system: str) -> None:
    trials = last_stages(system)
    naive, distinct = sum(map(len, trials)), len({key for keys in trials for key in keys})
    assert (naive, distinct) == (153 * 8, 354)
    assert naive / distinct == pytest.approx(3.458, abs=5e-4)


def test_two_grids_that_share_a_factor_share_their_segments() -> None:
    both = last_stages(MOONS) + last_stages(MOONS, (0.3, 0.03))
    ratio = sum(map(len, both)) / len({key for keys in both for key in keys})
    assert 4.2 <= ratio <= 4.3, ratio


def test_all_trials_of_a_system_begin_with_the_stages_before_the_last() -> None:
    num_before = sum(stage.epochs for stage in schedule(STUDY, points(STUDY)[0]).stages[:-1])
    keys = [foresee(schedule(STUDY, values), facts("classifier")) for values in points(STUDY)]
    assert len({trial[:num_before] for trial in keys}) == 1
    assert len({trial[num_before] for trial in keys}) == 3, "one for each first value"


def test_the_rates_are_those_that_were_asked_for() -> None:
    constant = sequence(first_lr=4e-3, first_drop_epoch=8)
    assert constant == [4e-3] * 8
    one = sequence(first_lr=1e-3, first_drop_epoch=7, first_factor=0.1, second_drop_epoch=8)
    assert one == pytest.approx([1e-3] * 7 + [1e-4])
    two = {"first_drop_epoch": 3, "first_factor": 0.3, "second_drop_epoch": 5}
    got = sequence(first_lr=2e-3, **two, second_factor=0.1)
    assert got == pytest.approx([2e-3] * 3 + [6e-4] * 2 + [6e-5] * 3)


@pytest.mark.parametrize(
    ("pinned", "num"),
    [
        ({"first_lr": 2e-3}, 51),
        ({"first_drop_epoch": 8}, 3),
        ({"first_drop_epoch": 7}, 3 * 2),
        ({"second_drop_epoch": 8}, 3 * (1 + 5 * 2)),
        ({"first_factor": 0.3, "second_factor": 0.3}, 3 * (1 + 5 + 10)),
    ],
)
def test_pinned_dimensions_leave_the_part_of_the_grid_that_has_them(
    pinned: dict[str, Any], num: int
) -> None:
    whole = [schedule(STUDY, values) for values in points(STUDY)]
    found = [schedule(STUDY, values) for values in points(STUDY, **pinned)]
    assert len(found) == num
    assert [part for part in found if part not in whole] == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_trial_is_longer_than_it_says_or_stopped_before_a_drop_can_show(system: str) -> None:
    study = lr_sequence(system)
    stages = schedule(study, points(study)[0]).stages
    before = sum(stage.epochs for stage in stages[:-1] if stage.data == stages[-1].data)
    assert study.max_epochs == before + NUM_EPOCHS
    by_epoch = [len(set(epoch)) for epoch in zip(*last_stages(system), strict=True)]
    assert by_epoch[study.grace_epochs - before - 1] > 3, by_epoch
    assert study.grace_epochs < study.max_epochs
