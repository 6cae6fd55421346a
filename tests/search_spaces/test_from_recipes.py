"""The study that starts from known recipes: its points are those, factors do what they say."""

from typing import Any

import optuna
import pytest

from search_spaces.dimensions import Ask
from search_spaces.from_recipes import STUDY
from tests.trainables.helpers import facts, rates, realised
from trainables.recipes import RECIPES, recipe_schedule
from training.classification import ClassifierConfig
from training.schedule import Schedule
from training.walk import foresee


def schedule(**values: Any) -> Schedule:
    ask = Ask(optuna.trial.FixedTrial(values), {})
    return STUDY.space(ask, ClassifierConfig(), 0)


def test_its_points_are_the_recipes_of_transfer_as_they_stand() -> None:
    found = {point["recipe"]: schedule(**point) for point in STUDY.points}
    assert set(found) == {name for name, recipe in RECIPES.items() if recipe.pretrained}
    for name, made in found.items():
        recipe = recipe_schedule(name, ClassifierConfig(), seed=0, epochs=16)
        assert foresee(made, facts()) == foresee(recipe, facts()), name


@pytest.mark.parametrize("name", [point["recipe"] for point in STUDY.points])
def test_factors_scale_the_rates(name: str) -> None:
    same = {"recipe": name, "label_smoothing": 0.0}
    one = realised(schedule(**same, lr_factor=1.0, backbone_factor=1.0))[-1]
    other = realised(schedule(**same, lr_factor=2.0, backbone_factor=0.5))[-1]
    for layer, rate in rates(one, 0).items():
        factor = 2.0 if layer == "head" else 1.0
        assert rates(other, 0)[layer] == pytest.approx(factor * rate)


def test_no_group_gets_above_the_head() -> None:
    point = {"recipe": "playbook", "label_smoothing": 0.0, "lr_factor": 1.0}
    last = rates(realised(schedule(**point, backbone_factor=8.0))[-1], 0)
    assert last["layer4"] == pytest.approx(last["head"])
    assert last["stem"] == pytest.approx(0.4 * last["head"])


def test_smoothing_is_at_least_what_is_asked_for() -> None:
    point = {"lr_factor": 1.0, "backbone_factor": 1.0, "label_smoothing": 0.1}
    for name in ("playbook", "auto"):
        stages = schedule(recipe=name, **point).stages[1:]
        assert {stage.loss["label_smoothing"] for stage in stages} == {0.1}
