"""Trials fused in one pass end as each of them ends alone, to the last bit."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch
from torch import nn

from tests.training.helpers import TinyTask, outcome, same, schedule, stage, state
from training.classification import Classification, ClassifierConfig
from training.fused import NotTogether, can_fuse
from training.keys import Step, child_key
from training.record import Record
from training.schedule import Schedule
from training.settings import Compute, Place, Settings
from training.store import Store
from training.task import Task, facts_of
from training.trainer import Trainer
from training.walk import UNKNOWN

TASK = Classification(ClassifierConfig(image_size=16))
LARGER = Classification(ClassifierConfig(image_size=32))
DROPS = Classification(ClassifierConfig(image_size=16, drop_rate=0.3))
HEAD: dict[str, Any] = {"groups": {"head": 1.0, "*": "frozen"}, "batchnorm": "eval_frozen"}
FULL: dict[str, Any] = {"epochs": 1, "data": "source", "data_fraction": 0.05}
ADAMW: dict[str, Any] = {"kind": "adamw"}
SGD: dict[str, Any] = {"kind": "sgd", "momentum": 0.9}
TARGET: dict[str, Any] = FULL | {"data": "target", "data_fraction": 0.1}

Head = dict[str, Any]
RATES: list[Head] = [
    {"lr": 1e-1, "optimizer": ADAMW | {"weight_decay": 0.0}},
    {"lr": 1e-3, "optimizer": ADAMW | {"weight_decay": 0.1}, "loss": {"label_smoothing": 0.1}},
    {"lr": 1e-2, "optimizer": ADAMW | {"beta1": 0.5}, "loss": {"class_weight_power": 0.5}},
]
SGDS: list[Head] = [
    {"lr": 1e-1, "optimizer": SGD},
    {"lr": 1e-4, "optimizer": SGD | {"momentum": 0.5, "nesterov": True}},
    {"lr": 1e-2, "optimizer": SGD | {"weight_decay": 0.1}, "loss": {"label_smoothing": 0.2}},
]
MIXES: dict[str, Any] = {"augment": {"mixup": 0.4, "cutmix": 1.0, "shift": 0.1, "flip": True}}
KEPT: dict[str, Any] = {"cache_features": True}
CLIPS: list[Head] = [{"clip_norm": 0.1}, {"clip_norm": 0.01, "lr": 1e-2}, {"lr": 1e-2}]


def plan(head: Head, *before: dict[str, Any], **fields: Any) -> Schedule:
    """Return a schedule of the stages `before`, and then two epochs of the head alone."""
    own = HEAD | {"data": "source", "data_fraction": 0.07} | head
    return schedule(*(stage(**each) for each in before), stage(**own), **fields)


def plans(heads: Sequence[Head], *before: dict[str, Any], **fields: Any) -> list[Schedule]:
    shared = {name: fields.pop(name) for name in ("seed", "compute", "curve") if name in fields}
    return [plan(head | fields, *before, **shared) for head in heads]


CASES: dict[str, tuple[Classification, list[Schedule]]] = {
    "adamw": (TASK, plans(RATES, FULL)),
    "sgd": (TASK, plans(SGDS, FULL, curve={"kind": "cosine"})),
    "both": (TASK, plans([*RATES, *SGDS], FULL)),
    "alone": (TASK, plans(RATES[:1], FULL)),
    "from_the_root": (TASK, plans(RATES)),
    "data_switch": (TASK, plans(RATES, TARGET)),
    "kept_optimizer": (
        TASK,
        plans([{"lr": 1e-1}, {"lr": 1e-3}], FULL, keep_optimizer=True),
    ),
    "batchnorm_train": (TASK, plans(RATES, FULL, batchnorm="train", ema_decay=0.8)),
    "ema": (TASK, plans(SGDS, FULL, ema_decay=0.9)),
    "ema_goes_on": (TASK, plans(RATES, FULL | {"ema_decay": 0.5}, ema_decay=0.7)),
    "ema_ends": (TASK, plans(RATES, FULL | {"ema_decay": 0.5})),
    "clip": (TASK, plans(CLIPS, FULL)),
    "accumulate": (TASK, plans(RATES, FULL, accumulate=3, batch_size=15)),
    "mixes": (TASK, plans(RATES, FULL, **MIXES)),
    "dropout": (DROPS, plans(RATES, FULL)),
    "balanced": (TASK, plans(RATES, FULL, sampler="balanced", image_size=24)),
    "bf16": (LARGER, plans(RATES, FULL, compute={"precision": "bf16"})),
    "channels_last": (TASK, plans(SGDS, FULL, compute={"channels_last": True}, ema_decay=0.9)),
    "seed": (TASK, plans(RATES, FULL, seed=3)),
    "kept_features": (TASK, plans(RATES, FULL, compute=KEPT, ema_decay=0.9)),
    "kept_features_of_older_average": (
        TASK,
        plans(SGDS, FULL | {"ema_decay": 0.5}, compute=KEPT, ema_decay=0.7, keep_optimizer=True),
    ),
}


def path_of(task: Task, plan: Schedule) -> list[Step]:
    """Return all steps of a schedule."""
    known, path = facts_of(task, seed=plan.seed, place=Place()), list[Step]()
    while (settings := plan.next([UNKNOWN] * len(path), known)) is not None:
        path.append(Step(child_key(path[-1].key if path else known.root, settings), settings))
    return path


def trainer_of(task: Task, store: Store, seed: int = 0) -> Trainer:
    root = facts_of(task, seed=seed, place=Place()).root
    return Trainer(task, root=root, seed=seed, store=store, place=Place())


def alone(task: Task, paths: Sequence[Sequence[Step]], store: Store, seed: int = 0) -> list[Record]:
    """Train each path to its end by itself; return the last records."""
    by = trainer_of(task, store, seed)
    return [by.train(path) for path in paths]


def together(
    task: Task, paths: Sequence[Sequence[Step]], store: Store, by: Trainer, num: int = 2
) -> list[Record]:
    """Train the last `num` segments of all paths fused; return the last records."""
    for left in range(num - 1, -1, -1):
        found = by.train_fused([path[: len(path) - left] for path in paths])
    return found


def compare(
    one: Store, other: Store, paths: Sequence[Sequence[Step]], records: Sequence[list[Record]]
) -> None:
    """Fail where the last two segments of the paths differ in a bit."""
    left, right = records
    same([outcome(record) for record in left], [outcome(record) for record in right])
    for number, path in enumerate(paths):
        for step in path[-2:]:
            same({number: state(one, step.key)}, {number: state(other, step.key)})


@pytest.mark.parametrize("name", CASES)
def test_fused_equals_alone(name: str, tmp_path: Path) -> None:
    task, trials = CASES[name]
    paths, seed = [path_of(task, trial) for trial in trials], trials[0].seed
    one, other = Store(str(tmp_path / "alone")), Store(str(tmp_path / "fused"))
    left = alone(task, paths, one, seed)
    right = together(task, paths, other, trainer_of(task, other, seed))
    compare(one, other, paths, [left, right])
    heads = [state(one, path[-1].key)["models"]["model.fc.weight"] for path in paths]
    assert all(not torch.equal(heads[0], head) for head in heads[1:]), "the trials are no different"


@pytest.mark.parametrize("case", ["adamw", "sgd", "ema", "kept_optimizer"])
def test_states_from_the_store_are_fused_by_a_new_trainer(case: str, tmp_path: Path) -> None:
    task, trials = CASES[case]
    paths = [path_of(task, trial) for trial in trials]
    one, other = Store(str(tmp_path / "alone")), Store(str(tmp_path / "fused"))
    left = alone(task, paths, one)
    alone(task, [path[:-1] for path in paths], other)
    right = together(task, paths, other, trainer_of(task, other), num=1)
    compare(one, other, paths, [left, right])


@pytest.mark.parametrize("case", ["adamw", "sgd", "ema"])
def test_the_ordinary_trainer_goes_on_from_a_fused_state(case: str, tmp_path: Path) -> None:
    """Within the stage, and into one that thaws, by the same trainer and by a new one."""
    task, trials = CASES[case]
    thaws = [Schedule.parse({"stages": (*t.stages, stage(**FULL, lr=1e-3))}) for t in trials]
    paths = [path_of(task, trial) for trial in thaws]
    one, other = Store(str(tmp_path / "alone")), Store(str(tmp_path / "fused"))
    left = alone(task, paths, one)
    by = trainer_of(task, other)
    by.train_fused([path[:-2] for path in paths])
    right = [by.train(path) for path in paths[:2]] + alone(task, paths[2:], other)
    compare(one, other, paths, [left, right])


def test_some_go_on_some_fork_and_others_train_between(tmp_path: Path) -> None:
    task, trials = CASES["adamw"]
    paths = [path_of(task, trial) for trial in trials]
    one, other = Store(str(tmp_path / "alone")), Store(str(tmp_path / "fused"))
    by = trainer_of(task, other)
    by.train_fused([path[:-1] for path in paths])
    by.train(path_of(task, schedule(stage(**FULL, lr=1e-2))))  # moves the backbone of its own
    faster = replace(paths[0][-1].settings, lrs=tuple(2 * lr for lr in paths[0][-1].settings.lrs))
    fork = [*paths[0][:-1], Step(child_key(paths[0][-2].key, faster), faster)]
    compare(one, other, paths[1:], [alone(task, paths[1:], one), by.train_fused(paths[1:])])
    twice = [paths[0], fork]
    compare(one, other, twice, [alone(task, twice, one), by.train_fused(twice)])


def test_features_of_a_trial_between_are_not_taken_for_their_own(tmp_path: Path) -> None:
    task, trials = CASES["kept_features"]
    paths = [path_of(task, trial) for trial in trials]
    one, other = Store(str(tmp_path / "alone")), Store(str(tmp_path / "fused"))
    by = trainer_of(task, other)
    by.train_fused([path[:-1] for path in paths])
    by.train(path_of(task, plan({}, FULL | {"lr": 1e-2}, compute=KEPT)))
    compare(one, other, paths, [alone(task, paths, one), by.train_fused(paths)])


def test_copies_of_the_model_are_gone_once_more_than_heads_is_trained(tmp_path: Path) -> None:
    paths = [path_of(TASK, trial) for trial in CASES["adamw"][1]]
    by = trainer_of(TASK, Store(str(tmp_path)))
    by.train_fused([path[:-1] for path in paths])
    held = [ref(live) for live in by._fused.values()]
    by.train(path_of(TASK, schedule(stage(**FULL, lr=1e-2))))
    assert [live() for live in held] == [None] * len(paths)


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    other = FULL | {"lr": 1e-2}
    paths = [path_of(TASK, plan({}, before)) for before in (FULL, other)]
    with pytest.raises(ValueError, match=f"{paths[1][0].key} has another backbone than"):
        trainer_of(TASK, Store(str(tmp_path))).train_fused([path[:-1] for path in paths])


def test_what_does_not_fit_into_memory_is_trained_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [path_of(TASK, trial) for trial in CASES["adamw"][1]]
    one, other = Store(str(tmp_path / "alone")), Store(str(tmp_path / "fused"))

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr("training.trainer.train_fused", full)
    right = together(TASK, paths, other, trainer_of(TASK, other))
    compare(one, other, paths, [alone(TASK, paths, one), right])


def test_beside_a_trial_whoever_can_is_trained_too(tmp_path: Path) -> None:
    paths = [path_of(TASK, trial) for trial in CASES["adamw"][1]]
    thaws = path_of(TASK, schedule(stage(**FULL), stage(**FULL), stage(**FULL)))
    one, other = Store(str(tmp_path / "alone")), Store(str(tmp_path / "beside"))
    by = trainer_of(TASK, other)
    by.train(paths[0][:1])
    for length in (2, 3):
        record = by.train_beside(paths[0][:length], [path[:length] for path in (*paths[1:], thaws)])
    left = alone(TASK, paths, one)
    assert record.metrics == left[0].metrics
    right = [other.record(path[-1].key) for path in paths]
    compare(one, other, paths, [left, [found for found in right if found]])
    assert other.record(thaws[1].key) is None


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no room"), NotTogether("no")])
def test_a_trial_trains_alone_where_those_beside_it_cannot(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [path_of(TASK, trial) for trial in CASES["adamw"][1]]
    one, other = Store(str(tmp_path / "alone")), Store(str(tmp_path / "beside"))

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("training.trainer.train_fused", fail)
    record = trainer_of(TASK, other).train_beside(paths[0], [path for path in paths[1:]])
    compare(one, other, paths[:1], [alone(TASK, paths[:1], one), [record]])
    assert not [path for path in paths[1:] if other.record(path[-1].key)]


def segment(**fields: Any) -> Settings:
    return path_of(TASK, plan(fields))[0].settings


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ((segment(), segment(batch_size=8)), r"batch_size: must be the same for all, got 16 and 8"),
        ((segment(), segment(ema_decay=0.9)), r"ema_decay: must be the same for all"),
        ((segment(), replace(segment(), index=4)), r"index: must be the same"),
        (
            (segment(), replace(segment(), lrs=(0.1,))),
            r"lrs: all need as many steps, got \d+ and 1",
        ),
        ((replace(segment(), restart=True),), r"restart: each trial begins with a backbone"),
        ((replace(segment(), place=Place(world_size=2)),), r"world_size: several processes"),
        ((segment(groups={"*": 1.0}),), r"bn1.bias is trained too, besides .* 'fc'"),
        ((segment(groups={"layer4": 1.0, "*": "frozen"}),), r"layer4.* is trained too"),
    ],
)
def test_why_not(settings: Sequence[Settings], reason: str) -> None:
    found = can_fuse(settings, TASK, TASK.build(0)["model"])
    assert found is not None
    assert re.search(reason, found), found


def test_numbers_do_not_hinder_fusing() -> None:
    settings = [segment(**head) for head in (*RATES, *SGDS, *CLIPS)]
    assert can_fuse(settings, TASK, TASK.build(0)["model"]) is None


@pytest.mark.parametrize(
    "field", sorted(set(Compute.model_fields) - {"precision", "channels_last", *KEPT})
)
def test_other_arithmetic_is_refused(field: str) -> None:
    default = Compute.model_fields[field].default
    compute = Compute().model_copy(update={field: not default})
    found = can_fuse([replace(segment(), compute=compute)], TASK, TASK.build(0)["model"])
    assert found == f"compute.{field}: {not default!r} is not done fused"


def test_a_task_or_a_model_that_cannot_be_taken_apart_is_refused() -> None:
    model = TASK.build(0)["model"]
    found = can_fuse([segment()], TinyTask(), model)
    assert found == "tiny does not take its losses apart from its model"
    found = can_fuse([segment()], TASK, nn.Linear(2, 2))
    assert found == "model 'model': its classifier is not one linear layer"


def test_a_model_that_goes_on_after_its_classifier_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [path_of(TASK, trial) for trial in plans(RATES)]
    by = trainer_of(TASK, Store(str(tmp_path)))
    kind = type(TASK.build(0)["model"])
    before = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, images: 2 * before(self, images))
    with pytest.raises(ValueError, match="the model goes on after its classifier"):
        by.train_fused([path[:-1] for path in paths])
