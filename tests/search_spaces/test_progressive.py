"""The study of progressive training: what its dimensions mean, and what trials share."""

from typing import Any

import optuna
import pytest

from search_spaces.dimensions import Ask
from search_spaces.progressive import STUDY
from tests.trainables.helpers import facts, frozen, realised
from training.classification import ClassifierConfig
from training.schedule import Schedule
from training.walk import foresee

POINT = dict(STUDY.points[0])
NUM_PRETRAIN = 6


def schedule(**changes: Any) -> Schedule:
    ask = Ask(optuna.trial.FixedTrial(POINT | changes), {})
    return STUDY.space(ask, ClassifierConfig(), 0)


def shared(one: Schedule, other: Schedule) -> int:
    """Epochs on the target task with which both begin."""
    pairs = zip(foresee(one, facts()), foresee(other, facts()), strict=True)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), 22) - NUM_PRETRAIN


def test_modes_freeze_what_they_say() -> None:
    sizes = {
        mode: [len(frozen(settings)) for settings in realised(schedule(mode=mode))]
        for mode in ("unfreeze", "freeze", "none")
    }
    assert sizes == {
        "unfreeze": [3] * 3 + [2] * 5 + [0] * 8,
        "freeze": [0] * 8 + [3] * 8,
        "none": [0] * 16,
    }


@pytest.mark.parametrize(
    ("grows", "fractions", "sizes"),
    [
        ("data and size", [0.5, 0.75, 1.0], [20, 24, None]),
        ("size", [1.0, 1.0, 1.0], [20, 24, None]),
        ("nothing", [1.0, 1.0, 1.0], [None, None, None]),
    ],
)
def test_columns_grow(grows: str, fractions: list[float], sizes: list[int | None]) -> None:
    stages = schedule(grows=grows).stages[1:]
    assert [stage.data_fraction for stage in stages] == fractions
    assert [stage.image_size for stage in stages] == sizes


@pytest.mark.parametrize(
    ("batch", "sizes"), [("shrink", [32, 24, 16]), ("grow", [16, 24, 32]), ("constant", [24] * 3)]
)
def test_batches_shrink_grow_or_stay(batch: str, sizes: list[int]) -> None:
    assert [stage.batch_size for stage in schedule(batch=batch).stages[1:]] == sizes


@pytest.mark.parametrize("curve_over", ["stage", "all"])
@pytest.mark.parametrize(
    ("changes", "epochs"),
    [
        ({"dampening": 0.8}, 3),
        ({"ema_decay": 0.98}, 8),
        ({"last_lr_scale": 0.3}, 8),
        ({"lr": 2e-3}, 0),
        ({"batch": "constant"}, 0),
    ],
)
def test_trials_share_up_to_where_they_differ(
    changes: dict[str, Any], epochs: int, curve_over: str
) -> None:
    one, other = schedule(curve_over=curve_over), schedule(curve_over=curve_over, **changes)
    assert shared(one, other) == epochs


@pytest.mark.parametrize("curve_over", ["stage", "all"])
def test_freezing_and_nothing_share_all_but_the_last_stage(curve_over: str) -> None:
    freeze, none = (schedule(mode=mode, curve_over=curve_over) for mode in ("freeze", "none"))
    assert shared(freeze, none) == 8


def test_curves_for_each_stage_share_a_stage_whatever_follows() -> None:
    unfreeze, damped = schedule(curve_over="stage"), schedule(curve_over="stage", dampening=0.8)
    assert shared(unfreeze, damped) == 3
    assert shared(schedule(curve_over="all"), unfreeze) == 0


def test_the_pretraining_is_the_trunk_of_all_studies() -> None:
    from trainables.classifier import baseline

    trunk = foresee(baseline(ClassifierConfig(), seed=0), facts())[:NUM_PRETRAIN]
    assert foresee(schedule(), facts())[:NUM_PRETRAIN] == trunk
