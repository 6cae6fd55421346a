"""When should the backbone thaw, in which order, and at which learning rates?

Every trial trains the head alone at a constant rate until its moment comes, then the last block
with it or everything at once. So trials that agree on the head share its epochs whatever their
moment is, and the late dimensions fork off a common trunk.
"""

from __future__ import annotations

from search_spaces.dimensions import Ask, Choice, Int, Real
from search_spaces.study import Study
from trainables.classifier import HEAD_ONLY, pretraining
from training.classification import ClassifierConfig, layer_groups
from training.curves import Constant, Cosine
from training.schedule import Schedule, Stage

HEAD_LR = Choice(
    name="head_lr",
    values=(2e-3, 4.5e-3, 1e-2),
    unit="LR",
    help="learning rate while only the head trains",
)
BATCHNORM = Choice(
    name="frozen_batchnorm",
    values=("eval_frozen", "train"),
    unit="policy",
    help="BatchNorm of frozen groups: fixed, or following the new data",
)
UNFREEZE_EPOCH = Int(
    name="unfreeze_epoch",
    low=1,
    high=10,
    unit="epochs",
    help="epochs of the head alone",
)
PARTIAL = Choice(
    name="partial_epochs",
    values=(0, 2, 4),
    unit="epochs",
    help="epochs of head and last block before everything; 0 is straight to full",
)
TOTAL = Choice(
    name="total_epochs",
    values=(12, 16),
    unit="epochs",
    help="length of the transfer; everything trains for at least its last 2 epochs",
)
FULL_LR = Real(
    name="full_lr",
    low=5e-4,
    high=8e-3,
    log=True,
    unit="LR",
    help="learning rate of the head once the backbone trains too",
)
BACKBONE = Real(
    name="backbone_multiplier",
    low=0.05,
    high=1.0,
    log=True,
    unit="x LR",
    help="rate of the last block against the head's; it halves with each block towards the stem",
)

_MAX_EPOCHS = 16


def space(ask: Ask, config: ClassifierConfig, seed: int) -> Schedule:
    """Return pretraining, head, partial and full stages; `config` decides the layer groups."""
    head_lr, batchnorm = ask(HEAD_LR), ask(BATCHNORM)
    num_head, num_partial, total = ask(UNFREEZE_EPOCH), ask(PARTIAL), ask(TOTAL)
    lr, backbone = ask(FULL_LR), ask(BACKBONE)
    blocks = [layer for layer in reversed(layer_groups(config)) if layer != "head"]
    partial = {"head": 1.0, blocks[0]: backbone, "*": "frozen"}
    full = {"head": 1.0} | {name: backbone / 2**depth for depth, name in enumerate(blocks)}
    stages = (
        {"name": "head", "epochs": num_head, "lr": head_lr, "groups": HEAD_ONLY},
        {"name": "partial", "epochs": num_partial, "lr": lr, "groups": partial},
        {
            "name": "full",
            "epochs": max(2, total - num_head - num_partial),
            "lr": lr,
            "groups": full,
        },
    )
    frozen = {"curve": Constant(), "batchnorm": batchnorm}
    thawed = {"curve": Cosine()}
    return Schedule(
        seed=seed,
        stages=(
            *pretraining(config),
            *(
                Stage.parse(stage | (thawed if stage["name"] == "full" else frozen))
                for stage in stages
                if stage["epochs"]
            ),
        ),
    )


STUDY = Study(
    name="unfreeze_timing",
    question="When should the backbone thaw, in which order, and at which learning rates?",
    system="classifier",
    dimensions=(HEAD_LR, BATCHNORM, UNFREEZE_EPOCH, PARTIAL, TOTAL, FULL_LR, BACKBONE),
    space=space,
    points=(
        {
            "head_lr": 4.5e-3,
            "frozen_batchnorm": "eval_frozen",
            "unfreeze_epoch": 3,
            "partial_epochs": 0,
            "total_epochs": 12,
            "full_lr": 1e-3,
            "backbone_multiplier": 0.3,
        },
        {
            "head_lr": 4.5e-3,
            "frozen_batchnorm": "eval_frozen",
            "unfreeze_epoch": 2,
            "partial_epochs": 4,
            "total_epochs": 16,
            "full_lr": 1e-3,
            "backbone_multiplier": 0.3,
        },
    ),
    max_epochs=_MAX_EPOCHS,
    grace_epochs=3,
)
