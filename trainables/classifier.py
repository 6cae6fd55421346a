"""System 1: transfer learning of an image classifier.

The playbook's baseline: head only, then everything with a one-cycle and lower rates towards the
stem. On the embedded digits the pretraining on the source task is the first stage.
"""

from __future__ import annotations

from training.classification import Classification, ClassifierConfig, layer_groups
from training.curves import OneCycle
from training.decoded import Progress
from training.folder import load_folder
from training.schedule import Schedule, Stage
from training.timm_models import normalisation_of

Settings = ClassifierConfig
build = Classification
normalisation = normalisation_of

HEAD_ONLY: dict[str, float | str] = {"head": 1.0, "*": "frozen"}
PLAYBOOK: dict[str, float | str] = {
    "head": 1.0,
    "layer4": 0.3,
    "layer3": 0.2,
    "layer2": 0.1,
    "*": 0.05,
}
"""LR multipliers from the head to the stem where the layer groups are those of a ResNet."""
FULL: dict[str, float | str] = {"head": 1.0, "*": 0.1}
"""LR multipliers of any other backbone."""


def prepare(config: ClassifierConfig, progress: Progress) -> None:
    """Decode a folder of images that no one has decoded yet; `progress` is told of each."""
    layer_groups(config)  # a wrong model is told before minutes of decoding
    if config.data != "digits":
        load_folder(config.data, config.image_size, progress)


def pretraining(config: ClassifierConfig, *, epochs: int = 6) -> tuple[Stage, ...]:
    """Return the stage on the source task, where the data has one; else nothing."""
    if config.data != "digits":
        return ()
    return (Stage(name="pretrain", epochs=epochs, lr=4e-3, data="source"),)


def baseline(config: ClassifierConfig, *, seed: int) -> Schedule:
    """Return head-only training for 3 epochs, then everything for 9 epochs."""
    named = set(PLAYBOOK) - {"*"} <= set(layer_groups(config))
    return Schedule.parse(
        {
            "seed": seed,
            "stages": [
                *pretraining(config),
                Stage.parse(
                    {
                        "name": "head",
                        "epochs": 3,
                        "lr": 5e-3,
                        "groups": HEAD_ONLY,
                        "batchnorm": "eval_frozen",
                    }
                ),
                Stage.parse(
                    {
                        "name": "full",
                        "epochs": 9,
                        "lr": 1e-3,
                        "groups": PLAYBOOK if named else FULL,
                        "curve": OneCycle(),
                    }
                ),
            ],
        }
    )
