"""What is wrong with a stage of a classifier is told in one line before anything is trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.training.helpers import TinyTask, facts, schedule, stage
from training.checks import why_not
from training.classification import Classification, ClassifierConfig
from training.errors import UserError
from training.schedule import Stage
from training.settings import Place
from training.task import check, facts_of


def checked(config: ClassifierConfig, *stages: Stage, workers: int = 1) -> None:
    """Check a schedule of `stages` as every command does."""
    task = Classification(config)
    plan = schedule(*stages)
    check(task, plan, facts_of(task, seed=0, place=Place(world_size=workers)))


def refused(config: ClassifierConfig, *stages: Stage, workers: int = 1) -> str:
    with pytest.raises(UserError) as error:
        checked(config, *stages, workers=workers)
    assert "\n" not in str(error.value)
    return str(error.value)


DIGITS = ClassifierConfig(image_size=32)


@pytest.mark.parametrize(
    ("model", "own", "asked", "reason"),
    [
        ("vit_tiny_patch16_224", 32, 48, "Input height (48) doesn't match model (32)"),
        ("swin_tiny_patch4_window7_224", 32, 64, "Input height (64) doesn't match model (32)"),
        ("test_convnext", 32, 8, "input size"),
        ("vgg11", 32, 16, "Output size is too small"),
    ],
)
def test_a_size_that_the_model_cannot_take_is_named(
    model: str, own: int, asked: int, reason: str
) -> None:
    line = refused(
        ClassifierConfig(model=model, image_size=own), stage(name="a"), stage(image_size=asked)
    )
    assert line.startswith(f"stages.1 (s): {model} cannot take 16 images of {asked} px at a time (")
    assert reason in line
    assert line.endswith(f"; it takes the {own} px of the task's image_size")


def test_a_size_of_the_task_that_the_model_cannot_take_is_named() -> None:
    line = refused(ClassifierConfig(model="vgg11", image_size=16), stage())
    assert line.startswith("stages.0 (s): vgg11 cannot take 16 images of 16 px at a time (")
    assert "it takes" not in line


def test_a_size_for_which_a_model_cannot_be_made_is_named() -> None:
    with pytest.raises(UserError, match=r"^image_size: xcit_nano_12_p16_224 cannot be made for 30"):
        Classification(ClassifierConfig(model="xcit_nano_12_p16_224", image_size=30))


@pytest.mark.parametrize("model", ["resnet18", "test_convnext", "test_vit", "efficientnet_b0"])
def test_sizes_that_the_model_takes_pass(model: str) -> None:
    config = ClassifierConfig(model=model, image_size=32)
    checked(config, *(stage(image_size=size) for size in (32, 64, 96, 160)))


@pytest.mark.parametrize(
    ("batchnorm", "frozen", "passes"),
    [
        ("train", "layer4", False),
        ("eval_all", "stem", True),
        ("eval_frozen", "stem", False),
        ("eval_frozen", "layer4", True),
    ],
)
def test_a_single_example_under_batchnorm_is_refused(
    batchnorm: str, frozen: str, passes: bool
) -> None:
    """At 32 px the last maps of a ResNet are of one pixel: nothing is left to take a mean of."""
    groups = {frozen: "frozen", "*": 1.0}
    alone = stage(batch_size=4, accumulate=2, batchnorm=batchnorm, groups=groups)
    config = ClassifierConfig(model="resnet18", image_size=32)
    if passes:
        checked(config, alone, workers=2)
    else:
        line = refused(config, alone, workers=2)
        assert "resnet18 cannot take 1 image of 32 px at a time (Expected more than 1" in line


def test_a_model_that_shapes_cannot_tell_of_is_taken_to_fit() -> None:
    class Reading(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * images.sum().item()

    assert why_not(Reading, (2, 3, 8, 8)) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": {"label_smoothing": 1}}, "loss.label_smoothing: must be from 0 to below 1, got"),
        ({"loss": {"label_smoothing": -0.1}}, "loss.label_smoothing: must be from 0 to below 1"),
        ({"loss": {"class_weight_power": -1}}, "loss.class_weight_power: must be from 0 to 10"),
        (
            {"data_fraction": 0.01, "batch_size": 8},
            "data_fraction: 0.01 of 'target' is 3 training images, none of them of ",
        ),
    ],
)
def test_what_is_out_of_range_is_named(fields: dict[str, Any], message: str) -> None:
    line = refused(DIGITS, stage(), stage(**fields))
    assert line.startswith(f"stages.1 (s).{message}"), line


@pytest.mark.parametrize("knob", ["mixup", "cutmix"])
def test_mixing_a_single_class_is_refused(
    knob: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THAW_CACHE", str(tmp_path / "cache"))
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
        for number in range(4):
            pixels = np.full((32, 32, 3), 40 * number, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / "cat" / f"{number}.png")
    config = ClassifierConfig(data=str(tmp_path))
    plain = {"batch_size": 4}
    checked(config, stage(**plain))
    line = refused(config, stage(**plain, augment={knob: 0.2}))
    assert line == (
        f"stages.0 (s).augment.{knob}: 'target' has one class only (cat); mixed labels need two"
    )


def test_a_balanced_sampler_without_classes_is_refused() -> None:
    class Classless(TinyTask):
        def class_labels(self, data: str) -> None:
            return None

    task, plan = Classless(), schedule(stage(sampler="balanced"))
    with pytest.raises(UserError, match=r"^stages\.0 \(s\)\.sampler: balanced needs classes, and"):
        check(task, plan, facts(task))
