"""Semantic segmentation networks, how they are evaluated on large images, and mean IoU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import nan
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.confusion import counted
from training.errors import UserError, unknown
from training.layers import Layers
from training.street_layout import IGNORED
from training.timm_models import published

_PARTS = {"encoder": "encoder", "decoder": "decoder", "segmentation_head": "head"}
_OVERLAP = 1 / 3
_SHOWN = 8


def build_semantic(
    architecture: str, encoder: str, *, num_classes: int, pretrained: bool
) -> nn.Module:
    """Return a network of segmentation-models-pytorch by the names that library has.

    `encoder` is one of its own (mit_b5, resnet101), or `tu-` and the name of a timm model. Raises
    `UserError` for a name that there is not, or two that do not go together.
    """
    import segmentation_models_pytorch as smp

    known = smp.MODEL_ARCHITECTURES_MAPPING
    if architecture not in known:
        raise unknown("architecture", architecture, known)
    encoders = smp.encoders.get_encoder_names()
    if not encoder.startswith("tu-") and encoder not in encoders:
        hint = str(unknown("encoder", encoder, encoders)).split("; allowed:")[0]
        raise UserError(f"{hint}; allowed: {', '.join(encoders[:_SHOWN])}, ..., or tu-TIMM_MODEL")
    try:
        model: nn.Module = smp.create_model(
            architecture,
            encoder_name=encoder,
            encoder_weights="imagenet" if pretrained else None,
            classes=num_classes,
        )
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{architecture} with encoder {encoder}: {reason}") from None
    return model


def published_encoder(encoder: str) -> str:
    """Return which weights `imagenet` stands for; see `timm_models.published`."""
    import segmentation_models_pytorch as smp

    if encoder.startswith("tu-"):
        return published(encoder.removeprefix("tu-"))
    known: dict[str, Any] = smp.encoders.encoders[encoder]["pretrained_settings"]
    return json.dumps(known.get("imagenet"), sort_keys=True, default=str)


def layers_of_semantic(model: nn.Module) -> Layers:
    """Group the parameters: encoder, decoder, head."""
    layers: Layers = {}
    for name, _ in model.named_parameters():
        layer = _PARTS[name.split(".", 1)[0]]
        layers[layer] = (*layers.get(layer, ()), name)
    return layers


def pixel_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the cross entropy of each image, (B,): the sum over counted pixels by all pixels.

    `logits` is (B, C, H, W), `classes` (B, H, W) with `IGNORED` for pixels that do not count. So
    the mean over a batch does not hang on how it is split, as it would if each part were divided
    by its own number of counted pixels.
    """
    per_pixel = F.cross_entropy(logits, classes, ignore_index=IGNORED, reduction="none")
    return per_pixel.mean((1, 2))


def sliding_logits(model: nn.Module, images: Tensor, window: tuple[int, int]) -> Tensor:
    """Return logits (B, C, H, W), averaged over windows that overlap by at least a third."""
    total: Tensor | None = None
    count = images.new_zeros(images.shape[-2:])
    for rows, columns in _windows(images.shape[-2:], window):
        found = model(images[..., rows, columns])
        if total is None:
            total = found.new_zeros(len(images), found.shape[1], *images.shape[-2:])
        total[..., rows, columns] += found
        count[rows, columns] += 1
    assert total is not None
    return total / count


def _windows(
    size: torch.Size | tuple[int, int], window: tuple[int, int]
) -> Iterator[tuple[slice, slice]]:
    (height, width), (tall, wide) = size, window
    for top in _starts(height, tall):
        for left in _starts(width, wide):
            yield slice(top, top + tall), slice(left, left + wide)


def _starts(length: int, window: int) -> list[int]:
    """Return where windows begin, so that they cover all of `length`, evenly spread."""
    num = 1 + max(0, -(-(length - window) // max(1, int(window * (1 - _OVERLAP)))))
    return [round(place * (length - window) / max(1, num - 1)) for place in range(num)]


def confusion(logits: Tensor, classes: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Return how many pixels of each class were taken for each: (group, true, predicted) int64.

    `logits` are (B, C, H, W), `classes` (B, H, W) int64, `group` (B,) int64: the table in which an
    image is counted. Does not synchronise.
    """
    num = logits.shape[1]
    true = torch.where(classes == IGNORED, num, classes)  # a last row for what does not count
    rows = true + group.view(-1, 1, 1) * (num + 1)
    found = counted(rows.flatten(), logits.argmax(1).flatten(), num, num_groups * (num + 1))
    return found.view(num_groups, num + 1, num)[:, :num]


def ious(right: list[float], predicted: list[float], true: list[float]) -> list[float]:
    """Return the IoU of each class from its pixels; NaN for one that neither side has."""
    unions = [p + t - r for r, p, t in zip(right, predicted, true, strict=True)]
    return [r / union if union else nan for r, union in zip(right, unions, strict=True)]


def mean_iou(values: list[float]) -> float:
    """Return the mean over the classes that have a value; NaN where none has."""
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else nan
