"""Where to start without a search, by the size of the data set.

Source: the project's source documents (`shared/spec/transfer.md`, "when to unfreeze").
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.rates import last_blocks, playbook
from trainables.situation import Situation
from training.curves import Constant, OneCycle
from training.schedule import Schedule, Stage
from training.settings import Augment

_TINY, _SMALL, _MIDDLE, _LARGE = 2_000, 10_000, 50_000, 100_000


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """What the size of a data set suggests."""

    head_epochs: int
    """Epochs of the head alone."""
    partial_epochs: int
    """Epochs of head and last block before everything; 0 is straight to full."""
    lr: float
    """LR of the head once the backbone trains too."""
    label_smoothing: float
    augment: Augment
    batchnorm_fixed: bool
    """BatchNorm is fixed in all groups until everything trains."""
    why: str


def starting_point(num_train: int, *, far: bool = False) -> StartingPoint:
    """Return the starting point for `num_train` training images.

    Head alone: below 2,000 images 4 epochs, up to 10,000 one, up to 50,000 two or three, then
    three, from 100,000 on four. Below 2,000 also label smoothing 0.1, augmentation and half the LR.
    `far` is for images very unlike those of the pretraining: the last block for 4 epochs before
    everything, and BatchNorm fixed until then.
    """
    tiny = num_train < _TINY
    return StartingPoint(
        head_epochs=_head_epochs(num_train),
        partial_epochs=4 if far else 0,
        lr=5e-4 if tiny else 1e-3,
        label_smoothing=0.1 if tiny else 0.05,
        augment=Augment(shift=0.1, zoom=0.1, rotate_deg=10) if tiny else Augment(),
        batchnorm_fixed=far,
        why=f"{num_train:,} training images" + (", far from the pretraining" if far else ""),
    )


def _head_epochs(num_train: int) -> int:
    if num_train < _TINY:
        return 4
    if num_train < _SMALL:
        return 1
    if num_train < _MIDDLE:
        return 2 if num_train < (_SMALL + _MIDDLE) / 2 else 3
    return 3 if num_train < _LARGE else 4


def auto(situation: Situation, epochs: int) -> Schedule:
    """Head, then everything, as `starting_point` says for the number of training images."""
    return _schedule(starting_point(situation.num_train), situation, epochs)


def auto_far(situation: Situation, epochs: int) -> Schedule:
    """As `auto`, for images very unlike those of the pretraining: the last block comes between."""
    return _schedule(starting_point(situation.num_train, far=True), situation, epochs)


def _schedule(point: StartingPoint, situation: Situation, epochs: int) -> Schedule:
    num_head = min(point.head_epochs, max(1, epochs // 4))
    num_partial = min(point.partial_epochs, epochs // 4)
    groups = playbook(situation.layers)
    common = {
        "curve": Constant(),
        "augment": point.augment,
        "loss": {"label_smoothing": point.label_smoothing},
        "batchnorm": "eval_all" if point.batchnorm_fixed else "eval_frozen",
    }
    stages = [
        {
            "name": "head",
            "epochs": num_head,
            "lr": 5 * point.lr,
            "groups": last_blocks(groups, situation.layers, 0),
        },
        {
            "name": "partial",
            "epochs": num_partial,
            "lr": point.lr,
            "groups": last_blocks(groups, situation.layers, 1),
        },
        {
            "name": "full",
            "epochs": epochs - num_head - num_partial,
            "lr": point.lr,
            "groups": groups,
            "curve": OneCycle(),
            "batchnorm": "train",
        },
    ]
    return Schedule(
        stages=tuple(Stage.parse(common | stage) for stage in stages if stage["epochs"])
    )
