"""`thaw train --recipe`, `thaw recipes`, `thaw lr-find`, `thaw check overfit`."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.analysis.browser import assert_legible
from tests.thaw.helpers import Thaw, write_yaml
from thaw.cli import app
from thaw.lr_picture import picture
from thaw.transfer_commands import RECIPE_NAMES
from trainables.recipes import RECIPES
from trainables.spec import TrialSpec
from training.lr_finder import RangeTest

STUDY = "unfreeze_timing"
MOONS = str(Path(__file__).parents[2] / "docs" / "own" / "moons_study.py")
SHORT = """
system: classifier
schedule:
  stages:
  - {name: all, epochs: 1, lr: 0.001, data_fraction: 0.2}
  - {name: more, epochs: 1, lr: 0.001, groups: {head: 1.0, '*': frozen}}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stored() -> list[str]:
    return sorted(str(path) for path in Path("store").rglob("*") if path.is_file())


@pytest.mark.parametrize("command", [("recipes",), ("lr-find",), ("check", "overfit")])
def test_the_help_of_a_command_has_an_example_of_it(command: tuple[str, ...]) -> None:
    text = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).output
    assert f"thaw {' '.join(command)}" in text.split("Example", 1)[1], text


def test_the_help_names_every_recipe() -> None:
    assert tuple(RECIPES) == RECIPE_NAMES


def test_recipes_lists_each_with_its_source(thaw: Thaw) -> None:
    code, out, err = thaw("recipes")
    assert code == 0, err
    words = " ".join(out.split())
    for name, recipe in RECIPES.items():
        assert name in words
        assert all(word in words for word in recipe.source.split()), recipe.source


def test_recipes_are_named_in_full_in_a_narrow_terminal(
    thaw: Thaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = thaw("recipes")
    assert code == 0, err
    assert [name for name in RECIPES if name not in out.split()] == []
    assert "…" not in out and max(map(len, out.splitlines())) <= 80


def test_a_printed_recipe_is_a_schedule_file(tmp_path: Path, thaw: Thaw) -> None:
    code, out, err = thaw("recipes", "gradual", "--set", "model=test_convnext", "--epochs", "9")
    assert code == 0, err
    spec = TrialSpec.read(str(write_yaml(tmp_path, out)))
    assert spec.task["model"] == "test_convnext"
    assert [stage.name for stage in spec.schedule.stages][:2] == ["pretrain", "from head"]
    assert sum(stage.epochs for stage in spec.schedule.stages if stage.data == "target") == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((STUDY, "--recipe", "fastia"), "unknown recipe 'fastia' (did you mean 'fastai'?)"),
        ((STUDY, "--recipe", "gradual", "--epochs", "2"), "--epochs 2: recipe gradual needs at"),
        ((STUDY, "--epochs", "2"), "--epochs 2: only a recipe (--recipe) has a length to choose"),
        ((STUDY, "--recipe", "none.yaml"), "none.yaml: No such file"),
        ((MOONS, "--recipe", "fastai"), "has no recipes; those of: classifier"),
    ],
)
def test_a_recipe_that_cannot_be_is_named(
    arguments: tuple[str, ...], message: str, thaw: Thaw
) -> None:
    assert message in thaw.refused("train", *arguments)


def test_a_schedule_file_takes_no_recipe(tmp_path: Path, thaw: Thaw) -> None:
    path = write_yaml(tmp_path, SHORT)
    assert "is a schedule already" in thaw.refused("train", path, "--recipe", "fastai")


def test_a_recipe_and_a_table_are_trained(tmp_path: Path, thaw: Thaw) -> None:
    code, out, err = thaw("train", STUDY, "--recipe", "progressive_scratch", "--epochs", "3")
    assert code == 0, err
    assert "3 segments trained" in out
    row = {"image_size": 16, "batch_size": 32, "epochs": 1, "data_fraction": 0.5}
    table = {"mode": "none", "optimizer": {"kind": "sgd"}, "ema_decay": 0.5, "stages": [row] * 2}
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(table))
    code, out, err = thaw("train", STUDY, "--recipe", "table.yaml")
    assert code == 0, err
    assert "8 segments trained" in out, "6 of pretraining and 2 of the table"


def test_lr_find_writes_curve_and_suggestions_and_leaves_no_state(
    tmp_path: Path, thaw: Thaw
) -> None:
    path = write_yaml(tmp_path, SHORT)
    find = ("lr-find", path, "--after", "1", "--store", "store", "--steps", "30")
    assert thaw("train", path, "--store", "store")[0] == 0
    before = stored()
    code, out, err = thaw(*find, "--out", "found", "--from", "1e-6", "--to", "1e-1")
    assert code == 0, err
    assert stored() == before
    summary = json.loads(Path("found/summary.json").read_text())
    assert summary["trained"] == "head" and set(summary["suggestions"]) == {"valley", "steepest"}
    rows = list(csv.DictReader(Path("found/tables/steps.csv").read_text().splitlines()))
    assert float(rows[0]["lr"]) == pytest.approx(1e-6) and len(rows) == 30
    assert "range_test" in Path("found/report.html").read_text()
    words = ("valley", "steepest", "found/report.html", "wrote found/lr-find.png")
    assert all(word in out for word in words)
    assert_legible(Path("found/lr-find.png"))


@pytest.mark.parametrize("smoothed", [(1.0, 1.05, 1.2), (2.0, 2.0, 2.0), (1e20, 1e20, 1e20)])
def test_a_loss_that_never_falls_is_drawn(smoothed: tuple[float, ...]) -> None:
    found = RangeTest((1e-3, 1e-2, 1e-1), smoothed, smoothed, 3)
    assert picture(found, {"valley": None}, "head").startswith(b"\x89PNG")


def test_lr_find_writes_over_no_file(tmp_path: Path, thaw: Thaw) -> None:
    (tmp_path / "file").touch()
    line = thaw.refused("lr-find", "unfreeze_timing", "--out", tmp_path / "file")
    assert "is no folder; name a new one" in line


def test_lr_find_takes_other_groups(tmp_path: Path, thaw: Thaw) -> None:
    path = write_yaml(tmp_path, SHORT)
    code, _, err = thaw(
        "lr-find", path, "--groups", "head,layer[34]", "--steps", "20", "--out", "found"
    )
    assert code == 0, err
    trained = json.loads(Path("found/summary.json").read_text())["trained"]
    assert trained == "layer3, layer4, head"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--groups", "layer9"), "unknown layer group in --groups: 'layer9'"),
        (("--after", "2"), "--after 2: must leave a segment of the schedule; allowed: 0 .. 1"),
        (("--from", "1", "--to", "0.1"), "--from 1: must be lower than --to 0.1"),
    ],
)
def test_a_range_test_that_cannot_be_is_named(
    arguments: tuple[str, ...], message: str, tmp_path: Path, thaw: Thaw
) -> None:
    path = write_yaml(tmp_path, SHORT)
    code, _, err = thaw("lr-find", path, "--out", "found", *arguments)
    assert code == 2 and message in err, err
    assert not Path("found").exists()


def test_a_model_that_learns_passes(thaw: Thaw) -> None:
    code, out, err = thaw("check", "overfit")
    assert code == 0, err
    assert "pass: " in out and "of 50 images" in out
    assert not Path("results").exists()


def test_a_model_that_does_not_learn_fails_and_is_told_what_to_look_at(thaw: Thaw) -> None:
    code, out, _ = thaw("check", "overfit", "--images", "20", "--epochs", "2", "--lr", "1e-9")
    assert code == 1
    assert "fail: " in out and "look at" in out and "thaw lr-find" in out


def test_more_images_than_there_are_are_refused(thaw: Thaw) -> None:
    line = thaw.refused("check", "overfit", "--images", "500")
    assert line == "--images 500: the task has 269 training images; allowed: 2 .. 269"
