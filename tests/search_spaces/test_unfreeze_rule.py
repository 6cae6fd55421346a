"""The study of the rule: a plateau thaws when the head has settled, and shares its epochs."""

from dataclasses import replace
from typing import Any

import optuna

from search_spaces.dimensions import Ask
from search_spaces.unfreeze_rule import STUDY
from tests.trainables.helpers import facts, frozen
from training.classification import ClassifierConfig
from training.record import Record
from training.schedule import Schedule
from training.walk import UNKNOWN

FIXED, RULED = (dict(point) for point in STUDY.points)
PRETRAINED = [replace(UNKNOWN, data="source")] * 6


def schedule(values: dict[str, Any]) -> Schedule:
    ask = Ask(optuna.trial.FixedTrial(values), {})
    return STUDY.space(ask, ClassifierConfig(), 0)


def history(accuracies: list[float]) -> list[Record]:
    target = [replace(UNKNOWN, data="target", metrics={"val_accuracy": x}) for x in accuracies]
    return [*PRETRAINED, *target]


def num_frozen(found: Schedule, accuracies: list[float]) -> int:
    settings = found.next(history(accuracies), facts())
    assert settings is not None
    return len(frozen(settings))


def test_the_backbone_thaws_when_accuracy_has_not_gained_a_point_for_the_patience() -> None:
    found = schedule(RULED)
    assert num_frozen(found, [0.5, 0.6, 0.605]) == 5, "one epoch without a gain of a point"
    assert num_frozen(found, [0.5, 0.6, 0.605, 0.609]) == 4, "two: the last block thaws"
    assert num_frozen(found, [0.5, 0.6, 0.605, 0.62]) == 5, "a gain of 2 points since the best"


def test_a_larger_min_delta_thaws_earlier() -> None:
    found = schedule(RULED | {"min_delta": 2.0})
    assert num_frozen(found, [0.5, 0.6, 0.605, 0.615]) == 4


def test_a_head_that_never_settles_thaws_after_10_epochs() -> None:
    found = schedule(RULED)
    rising = [0.05 * epoch for epoch in range(10)]
    assert num_frozen(found, rising[:9]) == 5
    assert num_frozen(found, rising) == 4


def test_a_rule_shares_the_epochs_of_the_head_with_fixed_ones() -> None:
    fixed, ruled = schedule(FIXED), schedule(RULED)
    for epochs in range(3):
        seen = history([0.1 * epoch for epoch in range(epochs)])
        assert fixed.next(seen, facts()) == ruled.next(seen, facts())
