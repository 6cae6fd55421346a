"""Stage tables: the three of the source documents, how they scale, and what is refused."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import setuptools
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.helpers import frozen, realised
from trainables.progressive import Table, fitted, progressive, read_table, shipped, with_batches
from trainables.recipes import recipe_schedule
from trainables.situation import Situation
from training.classification import ClassifierConfig
from training.errors import UserError

ROOT = Path(__file__).parents[2]
RESNET = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
FULL = Situation(layers=RESNET, num_train=50_000, image_size=224, sample=False)
DIGITS = Situation(layers=RESNET, num_train=269, image_size=32, sample=True)
ROW = {"image_size": 32, "batch_size": 16, "epochs": 2}


def column(table: Table, name: str) -> list[Any]:
    return [getattr(row, name) for row in table.stages]


def frozen_by_stage(name: str) -> list[set[str]]:
    schedule = progressive(shipped(name), FULL)
    return [
        {layer for layer in RESNET if stage.groups.get(layer, "frozen") == "frozen"}
        for stage in schedule.stages
    ]


@pytest.mark.parametrize(
    ("name", "epochs"),
    [("unfreeze", [10, 15, 25]), ("freeze", [10, 15, 25]), ("scratch", [15, 15, 20])],
)
def test_the_tables_have_the_numbers_of_the_source_documents(name: str, epochs: list[int]) -> None:
    table = shipped(name)
    assert column(table, "data_fraction") == [0.5, 0.75, 1.0]
    assert column(table, "image_size") == [128, 160, 224]
    assert column(table, "batch_size") == [1024, 768, 512]
    assert column(table, "epochs") == epochs


def test_unfreezing_trains_down_to_layer3_then_layer2_then_all() -> None:
    assert frozen_by_stage("unfreeze") == [{"stem", "layer1", "layer2"}, {"stem", "layer1"}, set()]


def test_freezing_freezes_up_to_layer2_in_the_last_stage() -> None:
    assert frozen_by_stage("freeze") == [set(), set(), {"stem", "layer1", "layer2"}]


def test_from_scratch_freezes_nothing_and_scales_the_rate() -> None:
    assert frozen_by_stage("scratch") == [set()] * 3
    lrs = [stage.lr for stage in progressive(shipped("scratch"), FULL).stages]
    assert [lr / lrs[0] for lr in lrs] == pytest.approx([1.0, 0.8, 0.5])


def test_the_full_preset_is_the_table() -> None:
    assert fitted(shipped("unfreeze"), FULL) == shipped("unfreeze")


def test_the_sample_preset_has_small_numbers() -> None:
    table = fitted(shipped("unfreeze"), DIGITS)
    assert column(table, "image_size") == [20, 24, 32]
    assert column(table, "batch_size") == [32, 24, 16]
    assert column(table, "epochs") == [3, 5, 8]


@given(st.integers(64, 10**6), st.integers(32, 512), st.integers(3, 200), st.integers(1, 24))
def test_a_fitted_table_keeps_to_its_rule(num: int, size: int, epochs: int, blocks: int) -> None:
    names = ("stem", *(f"b{index}" for index in range(blocks)), "head")
    situation = Situation(layers=names, num_train=num, image_size=size, sample=False)
    table = fitted(shipped("unfreeze"), situation, epochs)
    assert sum(column(table, "epochs")) == epochs and min(column(table, "epochs")) >= 1
    assert max(column(table, "batch_size")) <= max(4, num / 8)
    assert column(table, "image_size")[-1] == size
    for name in ("image_size", "trainable_down_to"):
        known = [value for value in column(table, name) if value != "all"]
        assert known == sorted(known)
    progressive(table, situation)


def test_one_curve_over_all_stages_has_one_optimizer_and_no_restart() -> None:
    config = ClassifierConfig()
    epochs = realised(recipe_schedule("progressive_unfreeze", config, seed=0))
    assert [s.fresh_optimizer for s in epochs] == [True] + [False] * 15
    lrs = [lr for settings in epochs for lr in settings.lrs]
    top = lrs.index(max(lrs))
    assert lrs[: top + 1] == sorted(lrs[: top + 1]) and lrs[top:] == sorted(lrs[top:], reverse=True)


def test_a_curve_for_each_stage_starts_again_with_a_new_optimizer() -> None:
    table = fitted(shipped("freeze"), DIGITS).model_copy(update={"curve_over": "stage"})
    epochs = realised(progressive(table, DIGITS))
    assert [i for i, s in enumerate(epochs) if s.fresh_optimizer] == [0, 3, 8]
    tops = [max(s.lrs) for s in epochs]
    assert [max(tops[a:b]) for a, b in ((0, 3), (3, 8), (8, 16))] == pytest.approx(
        [table.lr] * 3, rel=0.02
    )


def test_dampening_lowers_the_rate_from_stage_to_stage() -> None:
    table = shipped("unfreeze").model_copy(update={"dampening": 0.8})
    lrs = [stage.lr for stage in progressive(table, FULL).stages]
    assert [lr / lrs[0] for lr in lrs] == pytest.approx([1.0, 0.8, 0.64])


@pytest.mark.parametrize(
    ("how", "sizes"),
    [("shrink", [1024, 768, 512]), ("grow", [512, 768, 1024]), ("constant", [768, 768, 768])],
)
def test_batches_shrink_grow_or_stay(how: Any, sizes: list[int]) -> None:
    assert column(with_batches(shipped("unfreeze"), how), "batch_size") == sizes


def test_sgd_and_averages_reach_the_stages() -> None:
    data = {
        "mode": "none",
        "optimizer": {"kind": "sgd", "momentum": 0.8},
        "ema_decay": 0.9,
        "stages": [ROW, ROW],
    }
    schedule = progressive(Table.parse(data), DIGITS)
    assert {stage.optimizer.kind for stage in schedule.stages} == {"sgd"}
    assert {stage.ema_decay for stage in schedule.stages} == {0.9}


@pytest.mark.parametrize(
    ("column", "name", "num"),
    [
        ("trainable_down_to", "layer3", 2),
        ("trainable_down_to", "layer1", 4),
        ("frozen_up_to", "layer2", 2),
        ("frozen_up_to", "layer4", 4),
    ],
)
def test_blocks_may_be_named(column: str, name: str, num: int) -> None:
    mode = "unfreeze" if column == "trainable_down_to" else "freeze"
    named, counted = (
        progressive(Table.parse({"mode": mode, "stages": [ROW | {column: said}]}), DIGITS)
        for said in (name, num)
    )
    assert named == counted


def test_rows_in_mode_both_keep_what_neither_column_freezes() -> None:
    rows = [ROW | {"trainable_down_to": 3, "frozen_up_to": 1}]
    schedule = progressive(Table.parse({"mode": "both", "stages": rows}), DIGITS)
    assert frozen(realised(schedule)[0]) == {"stem", "layer1"}


@pytest.mark.parametrize(
    ("fields", "rows", "told"),
    [
        (
            {},
            [ROW | {"data_fraction": 0}],
            "stages.0.data_fraction: Input should be greater than 0",
        ),
        ({}, [ROW | {"data_fraction": 1.5}], "stages.0.data_fraction: Input should be less than"),
        (
            {},
            [ROW, ROW | {"image_size": 4}],
            "stages.1.image_size: Input should be greater than or",
        ),
        ({}, [ROW | {"epochs": 0}], "stages.0.epochs: Input should be greater than or equal to 1"),
        ({}, [ROW | {"lr_scale": 0}], "stages.0.lr_scale: Input should be greater than 0"),
        ({}, [ROW | {"size": 8}], "stages.0: unknown field 'size'"),
        ({}, [], "stages: Tuple should have at least 1 item"),
        ({"ema_decay": 1}, [ROW], "ema_decay: Input should be less than 1"),
        ({"dampening": 0}, [ROW], "dampening: Input should be greater than 0"),
        ({"mode": "melt"}, [ROW], "mode: Input should be 'unfreeze', 'freeze', 'both' or 'none'"),
        ({"rates": "own"}, [ROW], "unknown rates 'own'; allowed: playbook, slice, ulmfit, uniform"),
        (
            {"mode": "unfreeze"},
            [ROW, ROW | {"frozen_up_to": 1}],
            "stages.1 has frozen_up_to, which mode unfreeze does not use; allowed: leave it out, "
            "or mode freeze or both",
        ),
        (
            {},
            [ROW | {"trainable_down_to": 1}],
            "stages.0 has trainable_down_to, which mode none does not use",
        ),
        (
            {"mode": "unfreeze"},
            [ROW | {"trainable_down_to": 2}, ROW | {"name": "last", "trainable_down_to": 1}],
            "stages.1 (last) freezes layer3, which contradicts mode unfreeze; allowed: the same or "
            "more from stage to stage, or mode both",
        ),
        (
            {"mode": "freeze"},
            [ROW | {"frozen_up_to": 2}, ROW],
            "stages.1 thaws stem, layer1, layer2, which contradicts mode freeze; allowed: the same "
            "or fewer from stage to stage, or mode both",
        ),
        (
            {"mode": "both"},
            [ROW, ROW | {"name": "last", "trainable_down_to": 3, "frozen_up_to": 2}],
            "stages.1 (last): trainable_down_to 3 and frozen_up_to 2 contradict each other: both "
            "claim layer2; allowed: together at most 4 blocks",
        ),
        (
            {"mode": "freeze"},
            [ROW | {"frozen_up_to": 5}],
            "stages.0.frozen_up_to: 5 blocks, but the model has 4 (layer1, layer2, layer3, "
            "layer4); allowed: 0 .. 4",
        ),
        (
            {"mode": "unfreeze"},
            [ROW | {"trainable_down_to": "layer5"}],
            "stages.0.trainable_down_to: 'layer5' (did you mean 'layer4'?); allowed: layer4",
        ),
        (
            {},
            [ROW | {"batch_size": 512, "data_fraction": 0.5}],
            "stages.0.batch_size: 512 is more than the stage has training images (0.5 of 269); "
            "allowed: 1 .. 134",
        ),
    ],
)
def test_a_table_that_cannot_be_says_file_stage_and_what_is_allowed(
    fields: dict[str, Any], rows: list[Any], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump({"mode": "none", "stages": rows} | fields))
    with pytest.raises(UserError) as refused:
        recipe_schedule(str(path), ClassifierConfig(), seed=0)
    message = str(refused.value)
    assert str(path) in message and told in message, message
    assert "\n" not in message


@pytest.mark.parametrize(("text", "told"), [("- 1", "must hold the fields"), ("a: [", "no YAML")])
def test_a_file_that_is_no_table_is_named(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=told):
        read_table(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.yaml: No such file"):
        read_table(tmp_path / "none.yaml")


def test_the_tables_are_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    include = project["packages"]["find"]["include"]
    packages = setuptools.find_namespace_packages(str(ROOT), include=include)
    assert "trainables.tables" in packages
    assert "*.yaml" in project["package-data"]["*"]
    assert len(list((ROOT / "trainables" / "tables").glob("*.yaml"))) == 3
