"""Should the backbone thaw at a fixed epoch, or when the head has settled?

As `unfreeze_timing`, with a rule beside the fixed moment: the head trains alone until its
validation accuracy has not improved by a point or two for some epochs. Lengths count from the thaw,
so that its moment takes no epoch from what follows. A trial with a rule shares the epochs of the
head with all that have its rate.
"""

from __future__ import annotations

from search_spaces.dimensions import Ask, Choice
from search_spaces.study import Study
from search_spaces.unfreeze_timing import BACKBONE, BATCHNORM, FULL_LR, HEAD_LR, UNFREEZE_EPOCH
from trainables.classifier import HEAD_ONLY, pretraining
from trainables.rates import only
from training.classification import ClassifierConfig, layer_groups
from training.curves import Constant, Cosine
from training.rules import Plateau, Rule
from training.schedule import Multiplier, Schedule, Stage

RULE = Choice(
    name="unfreeze_rule",
    values=("epoch", "plateau"),
    unit="rule",
    help="the backbone thaws at a fixed epoch, or on a plateau of the validation accuracy",
)
MIN_DELTA = Choice(
    name="min_delta",
    values=(1.0, 2.0),
    unit="points",
    help="least gain of accuracy that counts as one, for the rule",
)
PATIENCE = Choice(
    name="patience",
    values=(1, 2, 3),
    unit="epochs",
    help="epochs without such a gain after which the backbone thaws, for the rule",
)
PARTIAL = Choice(
    name="partial_epochs",
    values=(0, 2, 4),
    unit="epochs",
    help="epochs of head and last block before everything; 0 is straight to full",
)
FULL = Choice(
    name="full_epochs",
    values=(8, 12),
    unit="epochs",
    help="epochs of everything",
)
_MOST_HEAD = UNFREEZE_EPOCH.high
_POINT = 0.01


def space(ask: Ask, config: ClassifierConfig, seed: int) -> Schedule:
    """Return pretraining, head, partial and full stages; `config` decides the layer groups."""
    head = {"lr": ask(HEAD_LR), "groups": HEAD_ONLY, "batchnorm": ask(BATCHNORM)} | _moment(ask)
    num_partial, num_full = ask(PARTIAL), ask(FULL)
    lr, backbone = ask(FULL_LR), ask(BACKBONE)
    layers = tuple(layer_groups(config))
    groups: dict[str, Multiplier] = {
        layer: backbone / 2 ** (depth - 1) if depth else 1.0
        for depth, layer in enumerate(reversed(layers))
    }
    partial = {
        "lr": lr,
        "epochs": num_partial,
        "groups": only(groups, layers[-2:]),
        "batchnorm": head["batchnorm"],
    }
    full = {"lr": lr, "epochs": num_full, "groups": groups, "curve": Cosine()}
    stages = {"head": head, "partial": partial, "full": full}
    return Schedule(
        seed=seed,
        stages=(
            *pretraining(config),
            *(
                Stage.parse({"name": name, "curve": Constant()} | fields)
                for name, fields in stages.items()
                if fields["epochs"]
            ),
        ),
    )


def _moment(ask: Ask) -> dict[str, object]:
    """Return the fields of the head's stage that say when it ends."""
    if ask(RULE) == "epoch":
        return {"epochs": ask(UNFREEZE_EPOCH)}
    signal = Plateau(
        metric="val_accuracy", mode="max", min_delta=ask(MIN_DELTA) * _POINT, patience=ask(PATIENCE)
    )
    return {"epochs": _MOST_HEAD, "until": Rule(any=(signal,))}


_POINT_COMMON = {
    "head_lr": 4.5e-3,
    "frozen_batchnorm": "eval_frozen",
    "full_lr": 1e-3,
    "backbone_multiplier": 0.3,
}
STUDY = Study(
    name="unfreeze_rule",
    question="Should the backbone thaw at a fixed epoch, or when the head has settled?",
    system="classifier",
    dimensions=(
        HEAD_LR,
        BATCHNORM,
        RULE,
        UNFREEZE_EPOCH,
        MIN_DELTA,
        PATIENCE,
        PARTIAL,
        FULL,
        FULL_LR,
        BACKBONE,
    ),
    space=space,
    points=(
        _POINT_COMMON
        | {"unfreeze_rule": "epoch", "unfreeze_epoch": 3, "partial_epochs": 0, "full_epochs": 8},
        _POINT_COMMON
        | {
            "unfreeze_rule": "plateau",
            "min_delta": 1.0,
            "patience": 2,
            "partial_epochs": 4,
            "full_epochs": 8,
        },
    ),
    max_epochs=_MOST_HEAD + max(PARTIAL.values) + max(FULL.values),
    grace_epochs=6,
)
