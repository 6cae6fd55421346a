"""What is wrong with a stage of a classifier, told before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.errors import UserError
from training.order import used_examples
from training.schedule import Stage

_REFUSALS = (AssertionError, RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError)
_SHOWN = 3


def check_loss(stage: Stage, where: str) -> None:
    """Raise `UserError` for a loss term out of its range."""
    smoothing = stage.loss.get("label_smoothing", 0.0)
    if not 0 <= smoothing < 1:
        raise UserError(f"{where}.loss.label_smoothing: must be from 0 to below 1, got {smoothing}")
    power = stage.loss.get("class_weight_power", 0.0)
    if not 0 <= power <= 10:
        raise UserError(f"{where}.loss.class_weight_power: must be from 0 to 10, got {power}")


def check_classes(
    stage: Stage, where: str, labels: Tensor, classes: tuple[str, ...], seed: int
) -> None:
    """Raise `UserError` for a class without training images, and for mixing a single class."""
    used = labels[used_examples(len(labels), stage.data_fraction, stage.data, seed)]
    counts = torch.bincount(used, minlength=len(classes)).tolist()
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        raise UserError(
            f"{where}.data_fraction: {stage.data_fraction} of {stage.data!r} is {len(used)} "
            f"training images, none of them of {', '.join(empty[:_SHOWN])}{more}; take a larger one"
        )
    if stage.augment.mixes and len(classes) < 2:
        knob = "mixup" if stage.augment.mixup else "cutmix"
        raise UserError(
            f"{where}.augment.{knob}: {stage.data!r} has one class only ({classes[0]}); "
            "mixed labels need two"
        )


def why_not(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> str | None:
    """Return why the model that `build` makes cannot take (B, C, H, W) images, or None if it can.

    Runs a forward pass on the meta device: shapes only, no memory and no arithmetic. A model that
    such a pass cannot tell of is taken to fit.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what timm says of shapes that turn out empty
            build()(torch.zeros(shape))
    except NotImplementedError:
        return None
    except _REFUSALS as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return None if "meta tensor" in reason.lower() else reason.rstrip(".")
    return None
