"""Known recipes against the facts of their sources: rates by group and step, what is frozen."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.trainables.helpers import facts, frozen, group_lrs, layers, rates, realised
from trainables.recipes import RECIPES, recipe_schedule, recipes_for
from training.classification import ClassifierConfig
from training.errors import UserError
from training.schedule import Schedule
from training.walk import UNKNOWN

MODELS = ("test_resnet", "test_convnext", "test_vit")
STEPS = 8
"""Steps of an epoch on the embedded target task: 269 images in batches of 32."""
RESNET = ("stem", "layer1", "layer2", "layer3", "layer4", "head")


def made(name: str, epochs: int | None = None, model: str = "test_resnet") -> Schedule:
    return recipe_schedule(name, ClassifierConfig(model=model), seed=3, epochs=epochs)


every_recipe = pytest.mark.parametrize("name", RECIPES)


@every_recipe
@pytest.mark.parametrize("model", MODELS)
def test_it_fits_any_model(name: str, model: str) -> None:
    made(name, model=model).check(facts(model))


@every_recipe
def test_it_takes_the_seed(name: str) -> None:
    assert made(name).seed == 3


@every_recipe
def test_it_survives_its_yaml(name: str) -> None:
    assert Schedule.parse(made(name).plain()) == made(name)


@every_recipe
def test_it_is_as_long_as_is_asked_for(name: str) -> None:
    assert len(realised(made(name, 17))) == 17


@every_recipe
def test_only_transfer_begins_with_pretraining(name: str) -> None:
    first = made(name).stages[0]
    assert (first.data == "source") == RECIPES[name].pretrained


@every_recipe
def test_transfer_recipes_share_the_pretraining(name: str) -> None:
    if RECIPES[name].pretrained:
        settings = made(name).next([], facts())
        assert settings == made("playbook").next([], facts())


@every_recipe
def test_the_head_always_trains_and_groups_only_thaw(name: str) -> None:
    epochs = realised(made(name))
    assert all("head" not in frozen(settings) for settings in epochs)
    if name != "progressive_freeze":
        for before, after in pairwise(epochs):
            assert frozen(after) <= frozen(before)


@every_recipe
def test_it_says_where_it_comes_from(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.what and recipe.source


def test_the_playbook_thaws_head_then_last_block_then_everything() -> None:
    epochs = realised(made("playbook"))
    head, partial = set(RESNET) - {"head"}, set(RESNET) - {"head", "layer4"}
    assert [frozen(settings) for settings in epochs] == [head] * 2 + [partial] * 4 + [set()] * 10
    assert rates(epochs[0], 0) == pytest.approx({"head": 5e-3})
    assert rates(epochs[2], 0) == pytest.approx({"head": 1e-3, "layer4": 3e-4})
    top = max(range(10 * STEPS), key=group_lrs(epochs[6:], "head").__getitem__)
    assert top == 0.3 * 10 * STEPS - 1
    assert rates(epochs[6 + top // STEPS], top % STEPS) == pytest.approx(
        {
            "head": 1e-3,
            "layer4": 3e-4,
            "layer3": 2e-4,
            "layer2": 1e-4,
            "layer1": 5e-5,
            "stem": 5e-5,
        }
    )
    assert [s.batchnorm for s in epochs] == ["eval_frozen"] * 6 + ["train"] * 10
    assert {s.optimizer.weight_decay for s in epochs} == {1e-4}


def test_straight_goes_from_the_head_to_everything() -> None:
    sizes = [len(frozen(settings)) for settings in realised(made("straight"))]
    assert sizes == [5] * 3 + [0] * 9


def combined_cos(position: float, top: float, rise: float, div: float) -> float:
    """fastai's `combined_cos(pct_start, lr / div, lr, lr / 1e5)` at a position in [0, 1]."""
    start, end, share = top / div, top, position / rise
    if position >= rise:
        start, end, share = top, top / 1e5, (position - rise) / (1 - rise)
    return start + (1 + math.cos(math.pi * (1 - share))) * (end - start) / 2


def outside(found: list[float], top: float, rise: float, div: float) -> list[int]:
    """Steps whose LR is none that fastai has between the step before and this one."""
    wrong = []
    for step, lr in enumerate(found):
        places = [(step + part / 100) / len(found) for part in range(101)]
        expected = [combined_cos(place, top, rise, div) for place in places]
        if not min(expected) * 0.999 <= lr <= max(expected) * 1.001:
            wrong.append(step)
    return wrong


def test_fastai_trains_the_head_for_one_epoch_at_the_base_lr() -> None:
    head, *full = realised(made("fastai"))
    assert frozen(head) == set(RESNET) - {"head"}
    assert outside(group_lrs([head], "head"), 2e-3, 0.99, 25.0) == []
    assert len(full) == 15 and not any(map(frozen, full))


def test_fastai_halves_the_lr_and_slices_it_by_100_over_the_groups() -> None:
    _, *full = realised(made("fastai"))
    assert outside(group_lrs(full, "head"), 1e-3, 0.3, 5.0) == []
    assert outside(group_lrs(full, "stem"), 1e-5, 0.3, 5.0) == []
    at = rates(full[4], 3)
    ratios = [at[b] / at[a] for a, b in pairwise(RESNET)]
    assert ratios == pytest.approx([100 ** (1 / 5)] * 5)


def test_fastai_has_its_own_adam_whose_state_is_cleared_when_it_unfreezes() -> None:
    head, full, *_ = realised(made("fastai"))
    assert head.optimizer == full.optimizer
    adam = head.optimizer.model_dump()
    assert (adam["weight_decay"], adam["beta2"], adam["eps"]) == (0.01, 0.99, 1e-5)
    assert full.fresh_optimizer


def test_lightning_doubles_the_backbones_lr_until_it_has_aligned() -> None:
    epochs = realised(made("lightning"))
    found = [rates(settings, 0) for settings in epochs]
    assert {rate["head"] for rate in found} == {1e-3}
    assert all(set(rate) == {"head"} for rate in found[:10])
    ratios = [rate["layer1"] / 1e-3 for rate in found[10:]]
    assert ratios == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    assert all(rate.get("stem") == rate.get("layer4") for rate in found)
    assert [s.fresh_optimizer for s in epochs] == [True] + [False] * 15


def test_lightning_thaws_in_the_middle_of_a_short_training() -> None:
    sizes = [len(frozen(settings)) for settings in realised(made("lightning", 6))]
    assert sizes == [5, 5, 5, 0, 0, 0]


@pytest.mark.parametrize("model", MODELS)
def test_gradual_thaws_one_group_an_epoch_from_head_to_stem(model: str) -> None:
    epochs = realised(made("gradual", model=model), model)
    names = layers(model)
    for number, settings in enumerate(epochs):
        assert frozen(settings) == set(names[: max(0, len(names) - 1 - number)])


def slanted_triangle(step: int, num_steps: int) -> float:
    """ULMFiT, equation 3, with cut_frac 0.1 and ratio 32."""
    cut = int(num_steps * 0.1)
    share = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / 0.1 - 1))
    return (1 + share * (32 - 1)) / 32


def test_gradual_has_slanted_triangles_and_2_6_between_groups() -> None:
    last = realised(made("gradual", 25))[5:]
    found = group_lrs(last, "head")
    expected = [0.01 * slanted_triangle(step, 20 * STEPS) for step in range(20 * STEPS)]
    steepest = 0.01 / (0.1 * 20 * STEPS)
    gaps = [abs(a - b) for a, b in zip(found, expected, strict=True)]
    assert max(gaps) <= 1.1 * steepest, "more than a step apart"
    at = rates(last[10], 0)
    assert at["head"] / at["layer4"] == pytest.approx(2.6)
    assert at["layer1"] / at["stem"] == pytest.approx(2.6)


def test_finetuning_scheduler_thaws_groups_at_1e_5_and_keeps_its_optimizer() -> None:
    epochs = realised(made("finetuning_scheduler"))
    sizes = [len(frozen(settings)) for settings in epochs]
    assert sizes == [5 - depth for depth in range(6) for _ in range(5)]
    at = rates(epochs[-1], 0)
    assert at.pop("head") == pytest.approx(1e-3)
    assert list(at.values()) == pytest.approx([1e-5] * 5)
    assert [s.fresh_optimizer for s in epochs] == [True] + [False] * 29


def test_finetuning_scheduler_ends_a_phase_when_the_validation_loss_stands_still() -> None:
    schedule = made("finetuning_scheduler")
    losses = [1.0, 0.9, 0.95, 0.91, 0.92]
    history = [replace(UNKNOWN, data="source")] * 6
    sizes = []
    for loss in losses:
        settings = schedule.next(history, facts())
        assert settings is not None
        sizes.append(len(frozen(settings)))
        history.append(replace(UNKNOWN, data="target", metrics={"val_loss": loss}))
    following = schedule.next(history, facts())
    assert sizes == [5] * 5 and following is not None and len(frozen(following)) == 4
    losses_early = [1.0, 1.1, 1.2, 1.3]
    history = [replace(UNKNOWN, data="source")] * 6
    history += [replace(UNKNOWN, data="target", metrics={"val_loss": x}) for x in losses_early]
    following = schedule.next(history, facts())
    assert following is not None and len(frozen(following)) == 4, "3 epochs without improvement"


def test_finetuning_scheduler_has_fixed_phases_where_they_are_short() -> None:
    assert not made("finetuning_scheduler", 24).adaptive


@pytest.mark.parametrize("name", ["full", "scratch"])
def test_everything_trains_at_one_rate(name: str) -> None:
    epochs = realised(made(name))
    assert not any(map(frozen, epochs))
    assert len(set(rates(epochs[5], 0).values())) == 1


def test_a_recipe_from_scratch_refuses_pretrained_weights() -> None:
    config = ClassifierConfig(weights="timm")
    with pytest.raises(UserError, match="recipe scratch: starts from random weights"):
        recipe_schedule("scratch", config, seed=0)


def test_pretrained_weights_leave_the_recipes_of_transfer() -> None:
    left = set(RECIPES) - set(recipes_for(ClassifierConfig(weights="timm")))
    assert left == {"scratch", "progressive_scratch"}
    assert recipes_for(ClassifierConfig()) == list(RECIPES)


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown recipe 'fastia' \(did you mean 'fastai'\?\)"):
        made("fastia")


def test_too_few_epochs_are_refused() -> None:
    with pytest.raises(UserError, match="--epochs 5: recipe gradual needs at least 6"):
        made("gradual", 5)


def test_own_data_are_counted(tmp_path: object) -> None:
    config = ClassifierConfig(data=str(tmp_path))
    with pytest.raises(UserError, match=r"has no images in train/<class>/"):
        recipe_schedule("auto", config, seed=0)
