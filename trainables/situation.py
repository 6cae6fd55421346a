"""What a recipe must know before it becomes a schedule: layer groups, data, length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from training.classification import ClassifierConfig, layer_groups
from training.decoded import KINDS
from training.digits import load_digits
from training.errors import UserError

SAMPLE = "digits"
"""The embedded data."""
SAMPLE_EPOCHS = 16
"""Epochs of a transfer on the embedded data."""
_SMALLEST = 8


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A model and its data."""

    layers: tuple[str, ...]
    """Layer groups: the stem, blocks in order, the head."""
    num_train: int
    """Training images of the target task."""
    image_size: int
    """Side of the task's images in px."""
    sample: bool
    """The data are the embedded digits."""


def situation_of(config: ClassifierConfig) -> Situation:
    """Return what `config` means for a recipe; the training images are counted, not read.

    Raises `UserError` where there are none.
    """
    return Situation(
        layers=tuple(layer_groups(config)),
        num_train=_num_train(config.data),
        image_size=config.image_size,
        sample=config.data == SAMPLE,
    )


@lru_cache(maxsize=8)
def _num_train(data: str) -> int:
    if data == SAMPLE:
        return len(load_digits(_SMALLEST)["target"].train)
    if not Path(data).is_dir():
        raise UserError(f"data folder {data}: no such folder")
    num = sum(path.suffix.lower() in KINDS for path in (Path(data) / "train").glob("*/*"))
    if not num:
        raise UserError(f"data folder {data}: has no images in train/<class>/")
    return num
