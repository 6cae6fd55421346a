"""The grid: every point of a countable space, once; by brute force where it is small."""

import itertools
from pathlib import Path
from typing import Any

import optuna
import pytest

from search_spaces.dimensions import Ask, Choice, Int
from search_spaces.grid import grid
from search_spaces.study import Study, config_of, study
from training.config import Config
from training.errors import UserError
from training.schedule import Schedule, Stage

MOONS = Path(__file__).parents[2] / "docs/own/moons_study.py"
LR = Choice(name="lr", values=(1e-3, 1e-2))
FIRST = Int(name="first", low=1, high=4)
SECOND = Int(name="second", low=2, high=5)


def space(ask: Ask, config: Config, seed: int) -> Schedule:
    """Ask for a second epoch only where the first leaves room, and only for later ones."""
    lr, first = ask(LR), ask(FIRST)
    second = ask(SECOND, low=first + 1) if first < 4 else first
    return Schedule(seed=seed, stages=(Stage(name="all", epochs=second, lr=lr),))


SMALL = Study(
    name="small",
    question="?",
    system="classifier",
    dimensions=(LR, FIRST, SECOND),
    space=space,
    max_epochs=5,
    grace_epochs=1,
)


def points(**pinned: Any) -> list[dict[str, Any]]:
    return list(grid(SMALL, config_of(SMALL, {}), pinned))


def test_it_is_what_brute_force_finds_in_the_order_of_the_dimensions() -> None:
    expected = [
        {"lr": lr, "first": first} | ({"second": second} if first < 4 else {})
        for lr, first in itertools.product(LR.values, range(1, 5))
        for second in (range(first + 1, 6) if first < 4 else (0,))
    ]
    assert points() == expected


def test_what_is_pinned_is_not_in_the_points() -> None:
    assert points(lr=1e-3, first=3) == [{"second": 4}, {"second": 5}]


def test_a_space_with_everything_pinned_has_one_point() -> None:
    assert points(lr=1e-3, first=3, second=4) == [{}]


def test_every_point_can_be_asked_for() -> None:
    for values in points():
        ask = Ask(optuna.trial.FixedTrial(values), {})
        space(ask, config_of(SMALL, {}), 0)
        assert ask.values == values


def test_a_continuous_range_is_refused_by_its_name() -> None:
    found = study(str(MOONS))
    with pytest.raises(UserError) as caught:
        next(grid(found, config_of(found, {}), {}))
    assert str(caught.value) == ("lr: a grid cannot take a continuous range; pin it with --set")


def test_a_continuous_range_may_be_pinned() -> None:
    found = study(str(MOONS))
    pinned = {"lr": 1e-2}
    assert list(grid(found, config_of(found, {}), pinned)) == [
        {"head_epochs": num} for num in range(1, 5)
    ]
