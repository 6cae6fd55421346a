"""A search of any size that trains nothing: a study of 20 segments a trial, and made-up records.

The study has the shape of `unfreeze_timing`: trials share the epochs of the head alone, and what
comes after differs from trial to trial. All values at one depth are equal, so that ASHA judges
every trial at every rung and stops none: the most work and the most memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from search_spaces.dimensions import Ask, Choice, Int, Real
from search_spaces.study import Study
from training.config import Config
from training.curves import Cosine
from training.keys import Step
from training.record import Record
from training.schedule import Facts, Schedule, Stage
from training.settings import Place
from training.store import Store

NUM_SEGMENTS = 20
FACTS = Facts(
    root="root",
    num_train=(("target", 320),),
    layers=(("model", ("stem", "layer1", "layer2", "layer3", "layer4", "head")),),
    loss=(("label_smoothing", 0.0),),
    place=Place(),
)
_HEAD_LR = Choice(name="head_lr", values=(1e-3, 3e-3, 1e-2), unit="LR")
_HEAD_EPOCHS = Int(name="head_epochs", low=1, high=10, unit="epochs")
_FULL_LR = Real(name="full_lr", low=1e-4, high=1e-2, log=True, unit="LR")
_BACKBONE = Real(name="backbone_multiplier", low=0.05, high=1.0, log=True, unit="x LR")
DIMENSIONS = (_HEAD_LR, _HEAD_EPOCHS, _FULL_LR, _BACKBONE)


def _space(ask: Ask, config: Config, seed: int) -> Schedule:
    lr, num_head, full_lr, backbone = (ask(dimension) for dimension in DIMENSIONS)
    head = {"head": 1.0, "*": "frozen"}
    full = {"head": 1.0, "layer4": backbone, "layer3": backbone / 2, "*": backbone / 4}
    rest = NUM_SEGMENTS - num_head
    return Schedule(
        seed=seed,
        stages=(
            Stage.parse({"name": "head", "epochs": num_head, "lr": lr, "groups": head}),
            Stage.parse(
                {"name": "full", "epochs": rest, "lr": full_lr, "groups": full, "curve": Cosine()}
            ),
        ),
    )


STUDY = Study(
    name="synthetic",
    question="How does a search grow?",
    system="classifier",
    dimensions=DIMENSIONS,
    space=_space,
    max_epochs=NUM_SEGMENTS,
    grace_epochs=2,
)


def make(path: Sequence[Step]) -> Record:
    """Return a record for the last segment of `path` without any training."""
    settings = path[-1].settings
    share = (settings.index + 1) / NUM_SEGMENTS
    values = {"loss": 2 - share, "accuracy": share}
    return Record(
        key=path[-1].key,
        parent=path[-2].key if len(path) > 1 else FACTS.root,
        index=settings.index,
        data=settings.data,
        metrics={f"{part}_{name}": v for part in ("train", "val") for name, v in values.items()},
        num_steps=settings.num_steps,
        lr_first=settings.lrs[0],
        lr_last=settings.lrs[-1],
        world_size=1,
        train_s=1.0,
        eval_s=0.1,
        restore_s=0.0,
    )


class Uncached(Store):
    """A store that remembers nothing: slots are other processes, with memories of their own."""

    def record(self, key: str) -> Record | None:
        """Read the record of `key`."""
        found = super().record(key)
        self._records.clear()
        return found

    def publish(self, record: Record, state: dict[str, object]) -> None:
        """Write state and record."""
        super().publish(record, state)
        self._records.clear()
