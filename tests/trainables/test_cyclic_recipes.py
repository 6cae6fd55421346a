"""Recipes of cyclic training: the source's table of stages, strategies, starting models, gates."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from trainables.cyclic_recipes import (
    RECIPES,
    cost_table,
    cyclic_schedule,
    recipe_schedule,
    recipes_for,
)
from training.cyclic import Cyclic
from training.cyclic_config import CyclicConfig
from training.errors import UserError
from training.gates import Gates
from training.record import Record
from training.schedule import Schedule, Stage
from training.settings import Place
from training.task import facts_of
from training.walk import UNKNOWN, foresee

_FIRST = sum(s.epochs for s in cyclic_schedule(CyclicConfig(), seed=0, strategy="no_cycle").stages)
FULL = CyclicConfig.parse({"preset": "full", "edgeface_weights": "e.pt"})


def recipe(name: str, config: CyclicConfig = FULL) -> Schedule:
    return recipe_schedule(name, config, seed=0)


def stage(name: str) -> Stage:
    return next(s for s in recipe("cyclic_1").stages if s.name == name)


def decay(found: Stage) -> float:
    return found.optimizer.weight_decay


def test_the_initial_dsr_is_that_of_the_source() -> None:
    found = stage("initial_dsr")
    assert (found.model, found.epochs, found.lr, found.batch_size) == ("dsr", 100, 1.5e-4, 16)
    assert found.curve is not None and found.curve.kind == "cosine"
    assert (found.warmup.epochs, decay(found)) == (5, 1e-6)
    assert {k: v for k, v in found.loss.items() if v} == {
        "l1": 1.0,
        "identity": 0.5,
        "feature_match": 0.15,
        "total_variation": 3e-6,
    }


def test_the_first_fine_tuning_of_edgeface_is_that_of_the_source() -> None:
    head, both = stage("finetune_head"), stage("finetune_all")
    assert (head.epochs, head.lr) == (10, 1e-4)
    assert head.groups == {"arcface": 1.0, "*": "frozen"}
    assert (both.epochs, both.lr, both.lr * float(both.groups["*"])) == (
        25,
        3e-5,
        pytest.approx(3e-6),
    )
    arcface = {"arcface_scale": 8.0, "arcface_margin": 0.1, "arcface_temperature": 4.0}
    assert head.loss == both.loss == arcface


def test_dsr_in_a_cycle_is_that_of_the_source() -> None:
    found = stage("cycle1_dsr")
    assert (found.epochs, found.lr, found.batch_size) == (50, 8e-5, 20)
    assert (found.warmup.epochs, decay(found), found.loss["dropout"]) == (2, 2e-6, 0.1)
    lambdas = ("l1", "identity", "feature_match", "total_variation")
    assert [found.loss[name] for name in lambdas] == [0.8, 0.65, 0.20, 2e-6]
    early = [found.groups["stem"], found.groups["early"]]
    assert all(float(value) <= 0.1 for value in early), "early layers at a very low LR"
    assert found.until is not None and found.until.any[0].patience == 15
    assert not found.restart


def test_edgeface_again_is_that_of_the_source() -> None:
    head, both = stage("cycle1_head"), stage("cycle1_all")
    assert (head.epochs, head.lr, both.epochs, both.lr) == (5, 5e-5, 15, 1.5e-5)
    assert both.lr * float(both.groups["*"]) == pytest.approx(1.5e-6)
    assert both.loss == {"arcface_scale": 7.0, "arcface_margin": 0.08, "arcface_temperature": 4.5}


@pytest.mark.parametrize(
    ("name", "dsr", "edgeface"),
    [
        ("no_cycle", 100, 35),
        ("cyclic_1", 150, 55),
        ("cyclic_2", 200, 75),
        ("cyclic_3", 250, 95),
        ("full_retrain_1", 200, 70),
        ("full_retrain_2", 300, 105),
    ],
)
def test_strategies_have_their_epochs(name: str, dsr: int, edgeface: int) -> None:
    epochs = {"dsr": 0, "edgeface": 0}
    for found in recipe(name).stages:
        epochs[found.model] += found.epochs
    assert epochs == {"dsr": dsr, "edgeface": edgeface}


def test_a_full_retrain_starts_dsr_from_scratch_and_goes_on_with_edgeface() -> None:
    found = {s.name: s.restart for s in recipe("full_retrain_1").stages}
    assert [name for name, restart in found.items() if restart] == ["retrain1_dsr"]


def names(**fields: Any) -> list[str]:
    return [s.name for s in recipe("no_cycle", CyclicConfig.parse(fields)).stages]


def test_starting_models_leave_out_what_they_replace() -> None:
    dsr, edgeface = {"dsr_weights": "d.pt"}, {"edgeface_weights": "e.pt"}
    both = ["finetune_head", "finetune_all"]
    assert names() == ["pretrain", "initial_dsr", *both]
    assert names(**edgeface) == ["initial_dsr", *both]
    assert names(**dsr) == ["pretrain", *both]
    assert names(**dsr, **edgeface) == both


FINETUNED = CyclicConfig(preset="full", edgeface_weights="e", dsr_weights="d", finetuned=True)


def test_finetuned_models_leave_the_cycles_alone() -> None:
    found = cyclic_schedule(FINETUNED, seed=0, strategy="cyclic", cycles=1)
    assert [s.name for s in found.stages] == ["cycle1_dsr", "cycle1_head", "cycle1_all"]


def test_finetuned_models_leave_out_the_recipes_that_need_the_first_ones() -> None:
    assert set(RECIPES) - set(recipes_for(FINETUNED)) == {"no_cycle", "gated"}
    assert recipes_for(FULL) == list(RECIPES)
    for name in recipes_for(FINETUNED):
        assert recipe(name, FINETUNED).stages[0].name in ("cycle1_dsr", "retrain1_dsr")
    with pytest.raises(UserError, match="strategy no_cycle: finetuned=true leaves nothing to"):
        recipe("no_cycle", FINETUNED)
    with pytest.raises(UserError, match="gates: finetuned=true leaves nothing to compare"):
        recipe("gated", FINETUNED)


def test_the_cost_table_is_that_of_models_which_are_trained() -> None:
    assert cost_table(FINETUNED, seed=0) == cost_table(CyclicConfig(preset="full"), seed=0)


def test_gates_stand_before_a_second_cycle_and_before_a_full_retrain() -> None:
    found = {s.name: s.only_if for s in recipe("gated").stages}
    gated = {name: (g.says, g.after) for name, g in found.items() if g is not None}
    first, second = ("finetune_all", "cycle1_all"), ("finetune_all", "cycle1_all", "cycle2_all")
    assert gated == {
        **{f"fallback1_{part}": ("retrain", first) for part in ("dsr", "head", "all")},
        **{f"cycle2_{part}": ("go_on", first) for part in ("dsr", "head", "all")},
        **{f"fallback2_{part}": ("retrain", second) for part in ("dsr", "head", "all")},
    }


def test_a_catastrophic_cycle_forks_from_the_models_before_it() -> None:
    found = {s.name: s.only_if.back_to for s in recipe("gated").stages if s.only_if is not None}
    origins = {name: origin for name, origin in found.items() if origin is not None}
    assert origins == {"fallback1_dsr": "finetune_all", "fallback2_dsr": "cycle1_all"}


def test_the_fork_of_a_catastrophe_is_the_full_retrain_of_other_trials() -> None:
    """The segments are those of `full_retrain`, so that the store has them or shares them."""
    task = Cyclic(CyclicConfig.parse({"identities": 4, "images": 2, "blocks": 2, "width": 4}))
    facts = facts_of(task, seed=0, place=Place())
    bad, retrained = (
        foresee(recipe(name, task.config), facts, known=_measured(accuracy))
        for name, accuracy in (("gated", 0.2), ("full_retrain_1", 0.5))
    )
    assert set(retrained) < set(bad)


def _measured(after_cycle: float) -> Callable[[str], Record | None]:
    """Return records of one accuracy up to the end of the first models, and of another after."""
    order: list[str] = []

    def known(key: str) -> Record:
        order.append(key)
        accuracy = 0.5 if len(order) <= _FIRST else after_cycle
        metrics = {"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": accuracy}
        metrics |= {"val_psnr": 26.0, "val_identity": 0.2}
        return replace(UNKNOWN, key=key, data="target", metrics=metrics)

    return known


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_reads_and_writes_yaml(name: str) -> None:
    for config in (FULL, CyclicConfig()):
        found = recipe(name, config)
        assert Schedule.parse(found.plain()) == found


@pytest.mark.parametrize(("strategy", "cycles"), [("no_cycle", 1), ("cyclic", 0)])
def test_cycles_must_fit_the_strategy(strategy: Any, cycles: int) -> None:
    with pytest.raises(UserError, match=f"cycles: {cycles} is not allowed with"):
        cyclic_schedule(FULL, seed=0, strategy=strategy, cycles=cycles, gates=Gates())


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(UserError, match="unknown recipe 'cyclic'"):
        recipe("cyclic")
