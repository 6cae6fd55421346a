"""System 4: semantic segmentation of streets, trained for 80k iterations or for much longer.

The unit of its schedules is the iteration: a segment is what lies between two validations. Presets
run the same code: `full` has the numbers of the original project, `sample` small drawn images and
a thousandth of the iterations, without pretrained weights. What hangs on the network (optimizer,
rates) is a table below.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from training.checkpoints import ITERATIONS, checkpoint_epoch, checkpoint_iterations
from training.curves import Constant, ConstantCooldown, Cosine, Curve, Poly, WarmUp
from training.decoded import Progress
from training.optimizers import SGD, AdamW
from training.schedule import Schedule, Stage
from training.settings import Augment
from training.street_data import SAMPLE
from training.streets import Streets, StreetsConfig, load_data, num_operations

build = Streets

POLY, COSINE, COOLDOWN = "poly", "cosine", "constant_cooldown"
FLOOR = 0.01
"""Where curves end, as a share of the LR: a run that goes on does not start from nothing."""
_SECONDS_PER_HOUR = 3600
COOLDOWN_SHARE = 0.2
"""Share of a run that cools down (arXiv 2405.18392)."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What differs between the original project's numbers and the sample's."""

    task: Mapping[str, Any]
    """Defaults of the task."""
    base_iterations: int
    """Standard length of a run."""
    validate_every: int
    """Iterations between two validations."""
    batch_size: int
    """Images of an optimizer step."""
    augment: Augment


PRESETS = {
    "full": Preset(
        task={
            "architecture": "segformer",
            "encoder": "mit_b5",
            "height": 512,
            "width": 1024,
            "weights": "imagenet",
            "colour": 0.3,
        },
        base_iterations=80_000,
        validate_every=10_000,
        batch_size=2,
        augment=Augment(zoom=0.5, flip=True),
    ),
    "sample": Preset(
        task={"encoder": "tu-mobilenetv3_small_050"},
        base_iterations=80,
        validate_every=10,
        batch_size=4,
        augment=Augment(flip=True),
    ),
}


@dataclass(frozen=True)
class Recipe:
    """How a kind of network is trained by its authors."""

    lr: float
    """Learning rate of the encoder at the full preset."""
    decoder: float
    """Multiple of it for decoder and head."""
    optimizer: AdamW | SGD
    sample: float
    """Factor on the learning rate at the sample preset, where networks start from nothing."""


TRANSFORMER = Recipe(6e-5, 10.0, AdamW(weight_decay=0.01), 10.0)
"""SegFormer (arXiv 2105.15203, section 4.1): AdamW, 6e-5, ten times that in the head."""
CONVOLUTIONAL = Recipe(1e-2, 1.0, SGD(weight_decay=5e-4), 1.0)
"""PSPNet and its like in MMSegmentation's 80k schedule: SGD, 1e-2, momentum 0.9, poly 0.9."""
_TRANSFORMERS = ("segformer", "dpt", "upernet")


class Settings(StreetsConfig):
    """The task, and how long and how often validated its runs are."""

    preset: Literal["full", "sample"] = "sample"
    """`full`: the original project's network, sizes and lengths; `sample`: all of it small."""
    base_iterations: Annotated[int, Field(ge=1)] = PRESETS["sample"].base_iterations
    """Standard length of a run in iterations; lengths are multiples of it."""
    validate_every: Annotated[int, Field(ge=1)] = PRESETS["sample"].validate_every
    """Iterations between two validations; must divide the base length."""
    batch_size: Annotated[int, Field(ge=1)] = PRESETS["sample"].batch_size
    """Images of an optimizer step."""
    resume_iteration: Annotated[int, Field(ge=0)] | None = None
    """Iterations that `weights` was trained for, which tables and logs count too; default: what the
    checkpoint says, else 0."""
    device_tflops: Annotated[float, Field(gt=0)] = 30.0
    """Speed that the device sustains, in 10^12 operations a second; for the hours of plans only."""

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, data: Any) -> Any:
        """Take what is not given from the preset."""
        if not isinstance(data, dict) or data.get("preset", "sample") not in PRESETS:
            return data
        preset = PRESETS[data.get("preset", "sample")]
        lengths = {
            name: getattr(preset, name)
            for name in ("base_iterations", "validate_every", "batch_size")
        }
        return {**lengths, **preset.task, **data}

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.base_iterations % self.validate_every:
            raise ValueError(
                f"validate_every: {self.validate_every} does not divide base_iterations, "
                f"{self.base_iterations}: no run would be validated at its end"
            )
        return self

    @property
    def numbers(self) -> Preset:
        """Return the numbers of the preset."""
        return PRESETS[self.preset]

    @property
    def base_segments(self) -> int:
        """Return the segments of the base length."""
        return self.base_iterations // self.validate_every

    @property
    def recipe(self) -> Recipe:
        """Return how this kind of network is trained."""
        return TRANSFORMER if self.architecture in _TRANSFORMERS else CONVOLUTIONAL

    @property
    def begun(self) -> int:
        """Return the iterations that the starting weights were trained for."""
        if self.resume_iteration is not None:
            return self.resume_iteration
        if self.weights in ("none", "imagenet") or not os.path.isfile(self.weights):
            return 0  # a file that is missing is told when the task is built
        iterations, segments = _read_counts(self.weights, os.stat(self.weights).st_mtime_ns)
        return (segments or 0) * self.validate_every if iterations is None else iterations


def trained_before(config: Settings) -> dict[str, int]:
    """Return the iterations from which `model.pt` counts on."""
    return {ITERATIONS: config.begun}


def prepare(config: Settings, progress: Progress) -> None:
    """Decode the images of a folder, once for all."""
    if config.data != SAMPLE:
        load_data(config, progress)


def baseline(config: Settings, *, seed: int) -> Schedule:
    """Return one base length with the poly curve: what a careful user takes without a search."""
    return schedule(config, seed=seed, length=1, curve=POLY)


def schedule(
    config: Settings,
    *,
    seed: int,
    length: int,
    curve: str,
    lr: float = 1.0,
    warmup: float = 0.0,
) -> Schedule:
    """Return a run of `length` base lengths from the starting weights.

    `lr` multiplies the rate of the network's recipe; `warmup` is in base lengths.
    """
    recipe, preset = config.recipe, config.numbers
    rate = recipe.lr * recipe.decoder * (recipe.sample if config.preset == "sample" else 1.0)
    stage = Stage(
        name=f"{length} x base" if config.begun == 0 else f"{length} x base more",
        epochs=length * config.base_segments,
        segment_iterations=config.validate_every,
        lr=rate * lr,
        groups={"encoder": 1 / recipe.decoder, "*": 1.0},
        curve=curve_of(curve),
        warmup=WarmUp(epochs=warmup * config.base_segments),
        optimizer=recipe.optimizer,
        batch_size=config.batch_size,
        augment=preset.augment,
    )
    return Schedule(seed=seed, stages=(stage,), iterations_before=config.begun)


def hours_per_segment(config: Settings) -> dict[str, float]:
    """Return the device-hours of a segment at the full preset, estimated from its operations.

    Three forward passes of each image (the backward pass is two) at `device_tflops`; validation is
    left out. Nothing for the sample, whose records in the store say it better.
    """
    if config.preset == "sample":
        return {}
    operations = 3 * num_operations(config) * config.batch_size * config.validate_every
    return {"model": operations / (config.device_tflops * 1e12) / _SECONDS_PER_HOUR}


def curve_of(name: str) -> Curve:
    """Return a curve by its name."""
    match name:
        case "poly":
            return Poly(floor=FLOOR)
        case "cosine":
            return Cosine(floor=FLOOR)
        case "constant_cooldown":
            return ConstantCooldown(cooldown=COOLDOWN_SHARE, floor=FLOOR)
        case _:
            return Constant()


@lru_cache(maxsize=8)
def _read_counts(path: str, modified_ns: int) -> tuple[int | None, int | None]:
    return checkpoint_iterations(path), checkpoint_epoch(path)
