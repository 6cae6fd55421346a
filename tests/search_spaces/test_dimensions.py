"""Dimensions: what they suggest, what they accept, and what `Ask` does with pinned values."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from search_spaces.dimensions import Ask, Choice, Dimension, Int, Real
from search_spaces.study import study
from training.errors import UserError

CHOICE = Choice(name="policy", values=("eval", "train", 2, 0.5, True))
INT = Int(name="epochs", low=1, high=10)
REAL = Real(name="lr", low=1e-4, high=1e-2)
LOG = Real(name="lr", low=1e-4, high=1e-2, log=True)


def draws(dimension: Dimension, num: int) -> Iterator[Any]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return (dimension.suggest(study.ask()) for _ in range(num))


@pytest.mark.parametrize("dimension", [CHOICE, INT, REAL, LOG], ids=repr)
def test_what_is_suggested_is_accepted(dimension: Dimension) -> None:
    for value in draws(dimension, 50):
        assert dimension.accept(value) == value


def test_choice_suggests_all_its_values() -> None:
    assert {repr(value) for value in draws(CHOICE, 100)} == {repr(v) for v in CHOICE.values}


def test_int_suggests_both_ends() -> None:
    assert set(draws(INT, 200)) == set(range(1, 11))


def test_log_draws_as_many_below_the_geometric_mean_as_above() -> None:
    below = sum(value < 1e-3 for value in draws(LOG, 400))
    assert abs(below - 200) < 4 * math.sqrt(400 / 4), f"{below} of 400 below 1e-3"


@pytest.mark.parametrize(
    ("dimension", "value", "message"),
    [
        (CHOICE, "evil", "policy: 'evil' is not allowed; allowed: eval | train | 2 | 0.5 | true"),
        (CHOICE, 1, "policy: 1 is not allowed; allowed: eval | train | 2 | 0.5 | true"),
        (INT, 0, "epochs: 0 is not allowed; allowed: a whole number, 1 .. 10"),
        (INT, 11, "epochs: 11 is not allowed; allowed: a whole number, 1 .. 10"),
        (INT, 2.0, "epochs: 2.0 is not allowed; allowed: a whole number, 1 .. 10"),
        (INT, True, "epochs: True is not allowed; allowed: a whole number, 1 .. 10"),
        (INT, "3", "epochs: '3' is not allowed; allowed: a whole number, 1 .. 10"),
        (REAL, 0.02, "lr: 0.02 is not allowed; allowed: a number, 0.0001 .. 0.01"),
        (REAL, math.nan, "lr: nan is not allowed; allowed: a number, 0.0001 .. 0.01"),
        (REAL, math.inf, "lr: inf is not allowed; allowed: a number, 0.0001 .. 0.01"),
        (REAL, "fast", "lr: 'fast' is not allowed; allowed: a number, 0.0001 .. 0.01"),
        (REAL, None, "lr: None is not allowed; allowed: a number, 0.0001 .. 0.01"),
        (LOG, 0, "lr: 0 is not allowed; allowed: a number, 0.0001 .. 0.01 (log)"),
    ],
)
def test_what_is_not_allowed_is_named_with_what_is(
    dimension: Dimension, value: Any, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        dimension.accept(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("dimension", "value"),
    [(INT, 1), (INT, 10), (REAL, 1e-4), (REAL, 1e-2), (CHOICE, True), (CHOICE, 2)],
)
def test_both_ends_are_allowed(dimension: Dimension, value: Any) -> None:
    assert dimension.accept(value) == value


def test_a_whole_number_becomes_a_real_one() -> None:
    accepted = Real(name="scale", low=0, high=5).accept(3)
    assert (accepted, type(accepted)) == (3.0, float)


def test_ask_suggests_what_is_not_pinned() -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    ask = Ask(trial, {})
    value = ask(INT)
    assert trial.params == ask.values == {"epochs": value}


def test_ask_takes_what_is_pinned_and_does_not_ask_for_it() -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    ask = Ask(trial, {"epochs": 7})
    ask(LOG)
    assert ask(INT) == 7
    assert list(trial.params) == ["lr"], "a pinned dimension is no parameter of the trial"
    assert ask.values["epochs"] == 7


@pytest.mark.parametrize("name", ["epochs", "trial", "folder", "best_val_accuracy"])
def test_a_study_whose_dimension_is_a_column_of_the_table_is_refused(
    name: str, tmp_path: Path
) -> None:
    own = Path(__file__).parents[2] / "docs/own/moons_study.py"
    (tmp_path / "mine.py").write_text(own.read_text().replace("head_epochs", name))
    said = rf"study moons: dimension {name}: is a column of trials\.csv, .*; choose another name"
    with pytest.raises(UserError, match=said):
        study(str(tmp_path / "mine.py"))
