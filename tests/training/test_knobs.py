"""The classifier itself with every knob on: it resumes exactly, and each knob does something."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.helpers import outcome, part_of, same, schedule, stage, state
from training.classification import Classification, ClassifierConfig
from training.schedule import Schedule
from training.settings import Place
from training.store import Store
from training.task import check, facts_of
from training.trainer import Trainer
from training.walk import Visit, walk

TASK = Classification(ClassifierConfig(image_size=16))
KNOBS: dict[str, Any] = {
    "augment": {"mixup": 0.4, "cutmix": 1.0, "flip": True, "shift": 0.1},
    "loss": {"class_weight_power": 0.5, "label_smoothing": 0.1},
    "sampler": "balanced",
    "optimizer": {"kind": "sgd"},
    "ema_decay": 0.9,
    "data_fraction": 0.5,
}
HEAD: dict[str, Any] = {"groups": {"head": 1.0, "*": "frozen"}, "batchnorm": "eval_frozen"}
PLAN = schedule(
    stage(**KNOBS, data="source", epochs=1),
    stage(**KNOBS, **HEAD, epochs=1),
    stage(**KNOBS | {"data_fraction": 1.0}, image_size=24, batch_size=24, epochs=1),
)


def run(plan: Schedule, store: Store) -> list[Visit]:
    facts = facts_of(TASK, seed=0, place=Place())
    check(TASK, plan, facts)
    trainer = Trainer(TASK, root=facts.root, seed=0, store=store, place=Place())
    return list(walk(plan, facts, store, trainer.train))


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Visit]]:
    store = Store(str(tmp_path_factory.mktemp("straight")))
    return store, run(PLAN, store)


@pytest.mark.parametrize("border", [1, 2])
def test_the_classifier_resumes_exactly_with_every_knob_on(
    border: int, straight: tuple[Store, list[Visit]], tmp_path: Path
) -> None:
    store, visits = straight
    keys = [visit.record.key for visit in visits]
    fork = part_of(store, keys[:border], tmp_path)
    again = run(PLAN, fork)
    same(state(store, keys[-1]), state(fork, keys[-1]))
    same([outcome(v.record) for v in visits], [outcome(v.record) for v in again])


@pytest.mark.parametrize("knob", KNOBS)
def test_each_knob_does_something(
    knob: str, straight: tuple[Store, list[Visit]], tmp_path: Path
) -> None:
    """Without one of them, the first epoch ends with other weights or another metric."""
    store, (first, *_) = straight
    others = {name: value for name, value in KNOBS.items() if name != knob}
    lone = Store(str(tmp_path))
    alone = run(schedule(stage(**others, data="source", epochs=1)), lone)[0]
    assert alone.record.key != first.record.key
    weights = [
        dict(state(where, visit.record.key)["models"])["model.fc.weight"]
        for where, visit in ((store, first), (lone, alone))
    ]
    differs = not torch.equal(*weights)
    assert differs or alone.record.metrics != first.record.metrics
