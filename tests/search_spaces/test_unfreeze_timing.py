"""The study of when to unfreeze: all that it can draw is valid, and shares what it should."""

import itertools
from functools import cache
from typing import Any

import optuna
import pytest

from search_spaces.dimensions import Ask
from search_spaces.unfreeze_timing import STUDY
from trainables.classifier import pretraining
from training.classification import Classification, ClassifierConfig
from training.schedule import Facts, Schedule
from training.settings import Place
from training.task import facts_of
from training.walk import foresee

MODELS = ("test_resnet", "test_convnext")
NUM_PRETRAIN = sum(stage.epochs for stage in pretraining(ClassifierConfig()))
GRID: dict[str, tuple[Any, ...]] = {
    "head_lr": (2e-3, 1e-2),
    "frozen_batchnorm": ("eval_frozen", "train"),
    "unfreeze_epoch": (1, 10),
    "partial_epochs": (0, 2, 4),
    "total_epochs": (12, 16),
    "full_lr": (1e-3, 4e-3),
    "backbone_multiplier": (0.1, 0.3),
}


@cache
def facts(model: str = "test_resnet") -> Facts:
    return facts_of(Classification(ClassifierConfig(model=model)), seed=0, place=Place())


def schedule(values: dict[str, Any], model: str = "test_resnet") -> Schedule:
    ask = Ask(optuna.trial.FixedTrial(values), {})
    return STUDY.space(ask, ClassifierConfig(model=model), 0)


def random_draws(model: str, num: int, **pinned: Any) -> list[tuple[dict[str, Any], Schedule]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for _ in range(num):
        ask = Ask(study.ask(), pinned)
        drawn.append((ask, STUDY.space(ask, ClassifierConfig(model=model), 0)))
    return [(ask.values, schedule) for ask, schedule in drawn]


def num_target(schedule: Schedule) -> int:
    return sum(stage.epochs for stage in schedule.stages if stage.data == "target")


def num_shared(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Segments that two different trials have in common, by what the dimensions mean."""
    same = {name: one[name] == other[name] for name in GRID}
    head = min(one["unfreeze_epoch"], other["unfreeze_epoch"])
    partial = min(one["partial_epochs"], other["partial_epochs"])
    if not (same["head_lr"] and same["frozen_batchnorm"]):
        return NUM_PRETRAIN
    if not (same["unfreeze_epoch"] and same["full_lr"] and same["backbone_multiplier"]):
        return NUM_PRETRAIN + head
    if same["partial_epochs"] and num_target(schedule(one)) == num_target(schedule(other)):
        return schedule(one).num_epochs
    return NUM_PRETRAIN + head + partial


@pytest.mark.parametrize("model", MODELS)
def test_200_random_schedules_fit_the_task(model: str) -> None:
    for _, drawn in random_draws(model, 200):
        drawn.check(facts(model))


@pytest.mark.parametrize("model", MODELS)
def test_200_random_schedules_are_no_longer_than_the_study_says(model: str) -> None:
    lengths = [num_target(drawn) for _, drawn in random_draws(model, 200)]
    assert max(lengths) == STUDY.max_epochs, f"{min(lengths)} to {max(lengths)} epochs"


def test_the_stages_have_the_lengths_that_were_asked_for() -> None:
    for values, drawn in random_draws("test_resnet", 200):
        lengths = {stage.name: stage.epochs for stage in drawn.stages}
        head, partial = values["unfreeze_epoch"], values["partial_epochs"]
        full = max(2, values["total_epochs"] - head - partial)
        expected = {"pretrain": NUM_PRETRAIN, "head": head, "partial": partial, "full": full}
        assert lengths == {name: epochs for name, epochs in expected.items() if epochs}


@pytest.mark.parametrize(
    "pinned", [{"head_lr": 1e-2}, {"unfreeze_epoch": 2, "partial_epochs": 4}, {"full_lr": 5e-3}]
)
def test_pinned_dimensions_are_honoured(pinned: dict[str, Any]) -> None:
    for values, drawn in random_draws("test_resnet", 20, **pinned):
        assert {name: values[name] for name in pinned} == pinned
        assert drawn == schedule(values)


def test_trials_share_exactly_the_beginning_on_which_they_agree() -> None:
    points = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    keys = [foresee(schedule(point), facts()) for point in points]
    for one, other in itertools.combinations(range(len(points)), 2):
        pairs = list(itertools.zip_longest(keys[one], keys[other]))
        shared = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
        expected = num_shared(points[one], points[other])
        assert shared == expected, f"{points[one]} and {points[other]}: {shared} != {expected}"
        assert not set(keys[one][shared:]) & set(keys[other][shared:])


def test_other_seeds_share_nothing() -> None:
    point = dict(STUDY.points[0])
    ask = Ask(optuna.trial.FixedTrial(point), {})
    task = Classification(ClassifierConfig())
    other = foresee(STUDY.space(ask, ClassifierConfig(), 1), facts_of(task, seed=1, place=Place()))
    assert not set(other) & set(foresee(schedule(point), facts()))


def test_rates_halve_from_block_to_block_towards_the_stem() -> None:
    groups = schedule(dict(STUDY.points[0])).stages[-1].groups
    assert groups == {
        "head": 1.0,
        "layer4": 0.3,
        "layer3": 0.15,
        "layer2": 0.075,
        "layer1": 0.0375,
        "stem": 0.01875,
    }


def test_own_data_has_no_pretraining() -> None:
    ask = Ask(optuna.trial.FixedTrial(dict(STUDY.points[0])), {})
    stages = STUDY.space(ask, ClassifierConfig(data="photos"), 0).stages
    assert [stage.name for stage in stages] == ["head", "full"]
