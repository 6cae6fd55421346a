"""The command line: help with examples, and one line and exit code 2 for bad input."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest
import timm
import torch
from typer.testing import CliRunner

from tests.thaw.helpers import Thaw, write_images, write_yaml
from thaw.cli import app

COMMANDS = ("search", "train", "best", "plan", "studies")
STUDY = "unfreeze_timing"
NO_RAY = ("--address", "127.0.0.1:1")
"""An address where no Ray is: who gets as far as Ray is told so."""
FOLDERS = ("train/cat", "train/dog", "val/cat", "val/dog")
SCHEDULE = """
system: classifier
schedule:
  stages:
  - {name: all, epochs: 2, lr: 0.001}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, and keep decoded images there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))


def in_help(*arguments: str) -> str:
    ended = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "200"})
    assert ended.exit_code == 0, ended.output
    return ended.output


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_an_example_of_it(command: str) -> None:
    text = in_help(command)
    assert "Example" in text, text
    assert f"thaw {command}" in text.split("Example", 1)[1], text


def test_the_help_names_every_command() -> None:
    text = in_help()
    assert [command for command in COMMANDS if command not in text] == []


def test_it_says_its_version(thaw: Thaw) -> None:
    code, out, _ = thaw("--version")
    assert (code, out) == (0, f"thaw {version('thaw')}\n")


@pytest.mark.parametrize("arguments", [("search",), ("search", STUDY, "--trials", "0"), ("fly",)])
def test_a_wrong_call_ends_with_code_2(arguments: tuple[str, ...], thaw: Thaw) -> None:
    code, _, err = thaw(*arguments)
    assert code == 2, err


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["hed_lr=0.002"], "unknown key in --set: 'hed_lr' (did you mean 'head_lr'?)"),
        (["model"], "--set 'model': must be key=value"),
        (["image_size=big"], "--set: image_size: Input should be a valid integer"),
        (["drop_rate=2"], "--set: drop_rate: Input should be less than 1, got 2"),
        (["model=test_resent"], "unknown model 'test_resent' (did you mean 'test_resnet'?)"),
        (['layers={"head": "fc"}'], "layers: no pattern matches the parameter"),
        (
            ['layers={"head": "fc", "tail": "nothing", "rest": ".*"}'],
            "layers.tail: the pattern 'nothing' matches no parameter",
        ),
        (['layers={"head": "(", "rest": ".*"}'], "layers: '(' is no regular expression"),
    ],
)
@pytest.mark.parametrize("command", ["search", "train"])
def test_a_wrong_override_is_named(
    command: str, pairs: list[str], message: str, thaw: Thaw
) -> None:
    options = [part for pair in pairs for part in ("--set", pair)]
    address = NO_RAY if command == "search" else ()
    assert thaw.refused(command, STUDY, *address, *options).startswith(message)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            "unfreeze_epoch=11",
            "unfreeze_epoch: 11 is not allowed; allowed: a whole number, 1 .. 10",
        ),
        ("full_lr=quick", "full_lr: 'quick' is not allowed; allowed: a number, 0.0005 .. 0.008"),
        ("head_lr=0.003", "head_lr: 0.003 is not allowed; allowed: 0.002 | 0.0045 | 0.01"),
    ],
)
def test_a_dimension_out_of_range_is_named(pair: str, message: str, thaw: Thaw) -> None:
    assert thaw.refused("search", STUDY, *NO_RAY, "--set", pair).startswith(message)


def test_an_unknown_study_is_named_with_the_nearest(thaw: Thaw) -> None:
    line = thaw.refused("search", "unfreeze_timng")
    assert line.startswith("unknown study 'unfreeze_timng' (did you mean 'unfreeze_timing'?)")


def test_what_is_neither_study_nor_file_cannot_be_trained(thaw: Thaw) -> None:
    line = thaw.refused("train", "unfreeze_timng")
    assert "'unfreeze_timng'" in line and "unfreeze_timing" in line.replace("'unfreeze_timng'", "")


def test_an_unknown_scheduler_is_named(thaw: Thaw) -> None:
    line = thaw.refused("search", STUDY, "--scheduler", "ashe")
    allowed = "asha, asha-promote, hyperband, median, pbt, none"
    assert line == f"unknown --scheduler 'ashe' (did you mean 'asha'?); allowed: {allowed}"


def test_layers_that_the_study_cannot_use_are_named(thaw: Thaw) -> None:
    line = thaw.refused("search", STUDY, *NO_RAY, "--set", 'layers={"all": ".*"}')
    assert "head" in line and "all" in line, line


@pytest.mark.parametrize("command", ["search", "train"])
@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ((), "data folder photos: no such folder"),
        (("",), "data folder photos/train: no such folder"),
        (("train/cat",), "data folder photos/val: no such folder"),
        (
            ("train/cat", "train/dog", "val/cat", "val/cow"),
            "data folder photos: train and val must have the same class folders; "
            "only in one of them: cow, dog",
        ),
    ],
)
def test_a_wrong_data_folder_is_named(
    command: str, folders: tuple[str, ...], message: str, tmp_path: Path, thaw: Thaw
) -> None:
    write_images(tmp_path / "photos", *folders)
    address = NO_RAY if command == "search" else ()
    assert thaw.refused(command, STUDY, *address, "--data", "photos") == message


@pytest.mark.parametrize("command", ["search", "train"])
def test_an_empty_data_folder_is_named(command: str, tmp_path: Path, thaw: Thaw) -> None:
    for split in ("train", "val"):
        (tmp_path / "photos" / split).mkdir(parents=True)
    address = NO_RAY if command == "search" else ()
    line = thaw.refused(command, STUDY, *address, "--data", "photos")
    assert line == "data folder photos/train: holds no class folders"


@pytest.mark.parametrize("command", ["search", "train"])
def test_an_empty_class_folder_is_named(command: str, tmp_path: Path, thaw: Thaw) -> None:
    write_images(tmp_path / "photos", *FOLDERS)
    (tmp_path / "photos/val/dog/0.png").rename(tmp_path / "photos/val/dog/0.txt")
    address = NO_RAY if command == "search" else ()
    line = thaw.refused(command, STUDY, *address, "--data", "photos")
    assert line.startswith("data folder photos/val/dog: holds no images")


@pytest.mark.parametrize("command", ["search", "train"])
@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_an_unreadable_image_is_named(
    command: str, content: bytes, tmp_path: Path, thaw: Thaw
) -> None:
    write_images(tmp_path / "photos", *FOLDERS)
    (tmp_path / "photos/train/dog/1.png").write_bytes(content)
    address = NO_RAY if command == "search" else ()
    line = thaw.refused(command, STUDY, *address, "--data", "photos")
    assert line.startswith("image photos/train/dog/1.png: cannot be read"), line


@pytest.mark.parametrize("command", ["search", "train"])
def test_a_checkpoint_of_another_model_is_refused_with_its_layers(
    command: str, tmp_path: Path, thaw: Thaw
) -> None:
    other = timm.create_model("test_convnext", in_chans=1, num_classes=2)
    torch.save(other.state_dict(), tmp_path / "other.pt")
    address = NO_RAY if command == "search" else ()
    line = thaw.refused(command, STUDY, *address, "--set", "weights=other.pt")
    assert line.startswith("checkpoint other.pt: does not fit the model: missing conv1.0.weight")
    assert "unknown stem.0.weight" in line, line


@pytest.mark.parametrize("command", ["search", "train"])
def test_a_checkpoint_of_other_shapes_is_refused_with_its_layers(
    command: str, tmp_path: Path, thaw: Thaw
) -> None:
    other = timm.create_model("test_resnet", in_chans=3, num_classes=2)
    torch.save(other.state_dict(), tmp_path / "other.pt")
    address = NO_RAY if command == "search" else ()
    line = thaw.refused(command, STUDY, *address, "--set", "weights=other.pt")
    assert "of other shape: conv1.0.weight is (" in line, line


@pytest.mark.parametrize("command", ["search", "train"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "checkpoint other.pt: no such file"),
        (b"no checkpoint", "checkpoint other.pt: no plain torch checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(
    command: str, content: bytes | None, message: str, tmp_path: Path, thaw: Thaw
) -> None:
    if content is not None:
        (tmp_path / "other.pt").write_bytes(content)
    address = NO_RAY if command == "search" else ()
    line = thaw.refused(command, STUDY, *address, "--set", "weights=other.pt")
    assert line.startswith(message), line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SCHEDULE + "  corve: cosine\n", "schedule: unknown field 'corve' (did you mean 'curve'?)"),
        (SCHEDULE.replace("0.001", "fast"), "schedule.stages.0.lr: Input should be a valid number"),
        (SCHEDULE.replace("}", ", groups: {}}"), "groups: at least one layer group must be"),
        (
            SCHEDULE.replace("}", ", groups: {layer9: 1.0, '*': frozen}}"),
            "unknown layer group in stages.0 (all).groups: 'layer9' (did you mean 'layer4'?)",
        ),
        (
            SCHEDULE.replace("}", ", groups: {head: 1.0}}"),
            "stages.0 (all).groups: no row covers the layer group 'stem'",
        ),
        (SCHEDULE.replace("}", ", data: moon}"), "unknown data in stages.0 (all): 'moon'"),
        (SCHEDULE.replace("}", ", model: twin}"), "unknown model in stages.0 (all): 'twin'"),
        (SCHEDULE.replace("}", ", loss: {mix: 1}}"), "unknown loss term in stages.0 (all): 'mix'"),
        (SCHEDULE.replace("}", ", sampler: even}"), "sampler: Input should be 'shuffle' or"),
        (
            SCHEDULE.replace("}", ", loss: {label_smoothing: 2}}"),
            "stages.0 (all).loss.label_smoothing: must be from 0 to below 1, got 2",
        ),
        (
            SCHEDULE.replace("}", ", data_fraction: 0.01}"),
            "stages.0 (all).data_fraction: 0.01 of 'target' is 3 training images, none of them of",
        ),
        (
            SCHEDULE.replace("}", ", image_size: 48}").replace(
                "schedule:", "task: {model: vit_tiny_patch16_224}\nschedule:"
            ),
            "stages.0 (all): vit_tiny_patch16_224 cannot take 32 images of 48 px at a time (Input "
            "height (48) doesn't match model (32)); it takes the 32 px of the task's image_size",
        ),
        (SCHEDULE.replace("classifier", "painter"), "unknown system 'painter'"),
        ("stages: [", "no YAML"),
    ],
)
def test_what_is_wrong_in_a_schedule_is_named(
    text: str, message: str, tmp_path: Path, thaw: Thaw
) -> None:
    path = write_yaml(tmp_path, text)
    assert message in thaw.refused("train", path, "--store", "store")
    assert not (tmp_path / "store").exists(), "something was trained"


def test_a_folder_that_is_not_empty_is_not_written_to(tmp_path: Path, thaw: Thaw) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious.txt").write_text("1")
    line = thaw.refused("search", STUDY, *NO_RAY, "--out", "out")
    assert line == "--out out: is not empty; name a new folder"
    assert os.listdir(tmp_path / "out") == ["precious.txt"]


@pytest.mark.parametrize("given", ["--trials=9", "--set=model=resnet18", "--seed=0", "--pareto"])
def test_an_option_that_resume_would_ignore_is_named(given: str, thaw: Thaw) -> None:
    line = thaw.refused("search", "--resume", "out", *NO_RAY, given)
    assert line.startswith(f"{given.split('=')[0]}: cannot be changed by --resume"), line
    assert line.endswith("allowed beside it: --address"), line


@pytest.mark.parametrize("command", [("search", STUDY, *NO_RAY), ("train", STUDY)])
@pytest.mark.parametrize("out", ["notes.md", "notes.md/out"])
def test_a_file_in_place_of_a_folder_is_named(
    command: tuple[str, ...], out: str, tmp_path: Path, thaw: Thaw
) -> None:
    (tmp_path / "notes.md").write_text("1")
    line = thaw.refused(*command, "--out", out, "--store", "store")
    assert line == f"--out {out}: {tmp_path / 'notes.md'} is no folder; name a new one"


@pytest.mark.parametrize(
    ("sampler", "option", "message"),
    [
        ("tpe", "n_startup_trials=ten", "sampler tpe with n_startup_trials=ten: '<' not supported"),
        ("tpe", "n_ei_candidates=ten", "sampler tpe with n_ei_candidates=ten: invalid literal"),
        ("nsga2", "mutation_prob=a", "sampler nsga2 with mutation_prob=a: '<=' not supported"),
    ],
)
def test_an_option_that_the_sampler_cannot_use_is_named(
    sampler: str, option: str, message: str, thaw: Thaw
) -> None:
    options = ("--sampler", sampler, "--sampler-set", option)
    assert thaw.refused("search", STUDY, *NO_RAY, *options).startswith(message)


@pytest.mark.parametrize("lr", ["inf", "nan", "0"])
def test_an_lr_that_is_none_is_named(lr: str, thaw: Thaw) -> None:
    line = thaw.refused("extend", "results", "--epochs", "9", "--lr", lr)
    assert line == f"--lr {lr}: must be greater than 0 and finite"


def test_a_refused_search_leaves_no_folder(tmp_path: Path, thaw: Thaw) -> None:
    thaw.refused("search", STUDY, *NO_RAY, "--out", "out", "--data", "photos")
    assert os.listdir(tmp_path) == []


def test_a_store_of_an_unknown_kind_is_named(thaw: Thaw) -> None:
    line = thaw.refused("search", STUDY, *NO_RAY, "--store", "gopher://store")
    assert line.startswith("store 'gopher://store': "), line


def test_a_cluster_that_is_not_there_is_named(thaw: Thaw) -> None:
    assert thaw.refused("search", STUDY, *NO_RAY).startswith("--address 127.0.0.1:1: ")


def test_results_that_are_not_there_are_named(tmp_path: Path, thaw: Thaw) -> None:
    line = thaw.refused("best", "nowhere")
    assert line == "nowhere: no results of a search (No such file or directory)"


def test_studies_lists_every_dimension_with_range_and_unit(thaw: Thaw) -> None:
    from search_spaces.study import study

    code, out, _ = thaw("studies")
    assert code == 0
    for dimension in study(STUDY).dimensions:
        line = next(line for line in out.splitlines() if line.startswith(f"{dimension.name} "))
        assert dimension.range() in line and dimension.unit in line, line


def test_studies_says_what_each_field_of_the_task_is(thaw: Thaw) -> None:
    from training.classification import ClassifierConfig

    _, out, _ = thaw("studies")
    text = " ".join(out.split())
    for name, field in ClassifierConfig.model_fields.items():
        assert f"{name} {field.default} {' '.join((field.description or '?').split())}" in text


@pytest.mark.parametrize("command", ["search", "train", "plan"])
def test_a_size_that_the_model_cannot_take_is_named(command: str, thaw: Thaw) -> None:
    address = NO_RAY if command == "search" else ()
    sets = ("--set", "model=vgg11", "--set", "image_size=16")
    line = thaw.refused(command, STUDY, *address, *sets)
    assert "vgg11 cannot take 32 images of 16 px at a time (" in line, line


@pytest.mark.parametrize("command", ["search", "train"])
def test_a_model_without_weights_is_named(command: str, thaw: Thaw) -> None:
    address = NO_RAY if command == "search" else ()
    sets = ("--set", "model=cspresnet50d", "--set", "weights=timm")
    line = thaw.refused(command, STUDY, *address, *sets)
    assert line.startswith("weights timm: "), line
