"""Forked equals straight: a run that resumes at any border ends as one that never stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.helpers import (
    TinyTask,
    keys,
    outcome,
    part_of,
    path_of,
    run,
    same,
    schedule,
    stage,
    state,
    trainer,
    weights,
)
from training.schedule import Schedule
from training.store import Store

HEAD: dict[str, Any] = {"groups": {"head": 1.0, "*": "frozen"}, "batchnorm": "eval_frozen"}
PART: dict[str, Any] = {"groups": {"head": 1.0, "layer4": 0.3, "*": "frozen"}}
FULL: dict[str, Any] = {"groups": {"head": 1.0, "layer*": 0.3, "*": 0.1}}
SGD: dict[str, Any] = {"optimizer": {"kind": "sgd"}, "lr": 0.03}
EMA: dict[str, Any] = {"ema_decay": 0.9}
MIXUP: dict[str, Any] = {"augment": {"mixup": 0.4}}
CUTMIX: dict[str, Any] = {"augment": {"cutmix": 1.0}}
MIXES: dict[str, Any] = {"augment": {"mixup": 0.4, "cutmix": 1.0, "shift": 0.1}}
WEIGHTED: dict[str, Any] = {"loss": {"class_weight_power": 1.0}}
BALANCED: dict[str, Any] = {"sampler": "balanced"}
KNOBS: dict[str, Any] = {
    **MIXES,
    **BALANCED,
    **EMA,
    "loss": {"class_weight_power": 0.5, "label_smoothing": 0.1},
    "optimizer": {"kind": "sgd", "nesterov": True},
}
MOVES: dict[str, Any] = {"augment": {"shift": 0.1, "zoom": 0.2, "rotate_deg": 10, "flip": True}}
TINY = TinyTask()
DROPS = TinyTask(drop_rate=0.3)


def two(first: dict[str, Any], second: dict[str, Any] | None = None, **fields: Any) -> Schedule:
    """Return a schedule of one epoch and then two: a border of stages, and one within a stage."""
    then = first if second is None else second
    return schedule(stage(**first, epochs=1), stage(**then), **fields)


CASES: dict[str, tuple[TinyTask, Schedule]] = {
    "full": (TINY, two(FULL)),
    "head_then_full": (TINY, two(HEAD, FULL)),
    "part_then_full": (TINY, two(PART, FULL)),
    "full_then_head": (TINY, two(FULL, HEAD)),
    "kept_optimizer_thaws": (TINY, two(HEAD, FULL | {"keep_optimizer": True})),
    "kept_optimizer_freezes": (TINY, two(FULL, HEAD | {"keep_optimizer": True})),
    "kept_sgd_thaws": (TINY, two(HEAD | SGD, FULL | SGD | {"keep_optimizer": True})),
    "sgd_momentum": (TINY, two(SGD)),
    "sgd_nesterov": (TINY, two({"lr": 0.03, "optimizer": {"kind": "sgd", "nesterov": True}})),
    "adamw_then_sgd": (TINY, two(FULL, SGD)),
    "batchnorm_eval_all": (TINY, two({"batchnorm": "eval_all"})),
    "ema": (TINY, two({"ema_decay": 0.9})),
    "ema_begins_late": (TINY, two({}, {"ema_decay": 0.9})),
    "ema_ends": (TINY, two({"ema_decay": 0.9}, {})),
    "augment": (TINY, two(MOVES)),
    "dropout": (DROPS, two(HEAD, FULL)),
    "label_smoothing": (TINY, two({"loss": {"label_smoothing": 0.1}})),
    "bf16": (TinyTask(size=32), two(HEAD, FULL, compute={"precision": "bf16"})),
    "channels_last": (TINY, two(HEAD, FULL, compute={"channels_last": True})),
    "channels_last_ema": (TINY, two({}, {"ema_decay": 0.5}, compute={"channels_last": True})),
    "data_switch": (TINY, two({"data": "source"}, HEAD)),
    "data_switch_ema": (TINY, two({"data": "source", "ema_decay": 0.9}, {"ema_decay": 0.9})),
    "data_fraction": (TINY, two({"data_fraction": 0.4}, {"data_fraction": 0.8})),
    "accumulate": (TINY, two({"accumulate": 2, "batch_size": 12})),
    "clip": (TINY, two({"clip_norm": 0.1})),
    "mixup": (TINY, two(MIXUP)),
    "cutmix": (TINY, two(CUTMIX | {"accumulate": 2})),
    "mixup_and_cutmix_end": (TINY, two(MIXES, FULL)),
    "mixes_begin_at_a_thaw": (TINY, two(HEAD, FULL | MIXES)),
    "weighted_loss": (TINY, two(WEIGHTED)),
    "weighted_loss_ends": (TINY, two(HEAD | WEIGHTED, FULL)),
    "balanced": (TINY, two(BALANCED)),
    "balanced_ends": (TINY, two(HEAD | BALANCED, FULL)),
    "balanced_begins": (TINY, two(HEAD, FULL | BALANCED | {"data_fraction": 0.7})),
    "ema_across_a_thaw": (TINY, two(HEAD | EMA, FULL | EMA)),
    "ema_begins_at_a_thaw": (TINY, two(HEAD, FULL | EMA)),
    "ema_ends_at_a_thaw": (TINY, two(HEAD | EMA, FULL)),
    "ema_pauses": (
        TINY,
        schedule(stage(**EMA, epochs=1), stage(epochs=1), stage(**EMA, epochs=1)),
    ),
    "all_knobs_across_a_thaw": (TINY, two(HEAD | KNOBS, FULL | KNOBS)),
    "progressive": (
        TINY,
        schedule(
            stage(**PART, **MIXUP, **EMA, **SGD, data_fraction=0.5, batch_size=12, epochs=1),
            stage(**FULL, **KNOBS, data_fraction=0.75, image_size=24, batch_size=8, epochs=1),
            stage(**CUTMIX, **EMA, data_fraction=1.0, image_size=32, batch_size=24, epochs=1),
            curve={"kind": "one_cycle"},
        ),
    ),
    "image_size": (TINY, two({"image_size": 24}, {"image_size": 32})),
    "curve_over_all": (TINY, two({}, FULL, curve={"kind": "cosine"}, warmup={"epochs": 0.5})),
    "seed": (TINY, two(FULL, seed=5)),
    "efficientnet": (TinyTask("test_efficientnet", drop_rate=0.2), two({"ema_decay": 0.9})),
    "convnext": (TinyTask("test_convnext", size=32), two({})),
}


@pytest.fixture(scope="module", params=CASES)
def straight(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TinyTask, Schedule, Store, list[Any]]:
    """A case and the store of its run that never stopped."""
    task, plan = CASES[request.param]
    store = Store(str(tmp_path_factory.mktemp("straight")))
    return task, plan, store, run(plan, store, task)


def test_forked_equals_straight_at_every_border(
    straight: tuple[TinyTask, Schedule, Store, list[Any]], tmp_path: Path
) -> None:
    task, plan, store, visits = straight
    names = keys(plan, task)
    for border in range(len(names)):
        fork = part_of(store, names[:border], tmp_path / str(border))
        again = run(plan, fork, task)
        assert [visit.reused for visit in again] == [i < border for i in range(len(names))]
        last = names[-1]
        same({f"border {border}": state(store, last)}, {f"border {border}": state(fork, last)})
        same([outcome(v.record) for v in visits], [outcome(v.record) for v in again])


def test_a_used_trainer_does_the_same_as_a_new_one(tmp_path: Path) -> None:
    """One warm trainer runs the cases by turns; the second time it loads a stored parent."""
    names = ["channels_last_ema", "ema", "data_switch", "kept_sgd_thaws", "batchnorm_eval_all"]
    used = Store(str(tmp_path / "used"))
    warm = trainer(TINY, used)
    expected = {}
    for name in names:
        fresh = Store(str(tmp_path / name))
        visits = run(CASES[name][1], fresh, TINY)
        expected[name] = (state(fresh, visits[-1].record.key), [outcome(v.record) for v in visits])
    for name in [*names, *names, *reversed(names)]:
        plan = CASES[name][1]
        last = keys(plan, TINY)[-1]
        path_of(used, last, "record.json").unlink(missing_ok=True)
        visits = run(plan, Store(used.url), TINY, by=warm)
        assert not visits[-1].reused
        got = (state(used, last), [outcome(v.record) for v in visits])
        same({name: expected[name]}, {name: got})


@pytest.mark.parametrize(
    "changed",
    [
        {"lr": 3.1e-3},
        {"batch_size": 8},
        {"accumulate": 2},
        {"clip_norm": 0.01},
        {"batchnorm": "eval_all"},
        {"image_size": 24},
        {"data_fraction": 0.9, "batch_size": 12},
        {"data": "source"},
        {"loss": {"label_smoothing": 0.1}},
        {"optimizer": {"kind": "adamw", "beta1": 0.8}},
        {"optimizer": {"kind": "sgd"}},
        {"groups": {"stem": "frozen", "*": 1.0}},
        {"groups": {"stem": 0.5, "*": 1.0}},
        {"curve": {"kind": "cosine"}},
        MOVES,
        MIXUP,
        CUTMIX,
        {"augment": {"mixup": 0.4, "cutmix": 1.0}},
        WEIGHTED,
        BALANCED,
    ],
    ids=str,
)
def test_other_settings_give_other_keys_and_other_weights(
    changed: dict[str, Any], tmp_path: Path
) -> None:
    store = Store(str(tmp_path))
    one, other = schedule(stage(epochs=1)), schedule(stage(epochs=1, **changed))
    run(one, store, TINY)
    run(other, store, TINY)
    (key,), (other_key,) = keys(one, TINY), keys(other, TINY)
    assert key != other_key
    stem = [weights(store, name)["layer1.0.conv1.weight"] for name in (key, other_key)]
    assert not torch.equal(*stem), f"{changed} trains the same weights as the default"


def test_another_seed_gives_another_key_and_other_weights(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    plans = [schedule(stage(epochs=1), seed=seed) for seed in (0, 1)]
    names = [keys(plan, TINY)[0] for plan in plans]
    for plan in plans:
        run(plan, store, TINY)
    assert names[0] != names[1]
    stem = [weights(store, name)["layer1.0.conv1.weight"] for name in names]
    assert not torch.equal(*stem)


def resume_without(what: str, fields: dict[str, Any], folder: Path) -> tuple[Any, Any]:
    """Return the final states of a straight run and of one whose parent state lost `what`."""
    plan = schedule(stage(**fields))
    store, fork = Store(str(folder / "straight")), Store(str(folder / "fork"))
    run(plan, store, TINY)
    first, last = keys(plan, TINY)
    parent, record = state(store, first), store.record(first)
    assert record is not None
    if what == "optimizer":
        parent["optimizer"]["state"] = {}
    else:
        parent[what] = None
    fork.publish(record, parent)
    run(plan, fork, TINY)
    return state(store, last), state(fork, last)


@pytest.mark.parametrize("optimizer", [{"kind": "adamw"}, {"kind": "sgd"}], ids=str)
def test_the_optimizer_must_be_restored(optimizer: dict[str, Any], tmp_path: Path) -> None:
    whole, lost = resume_without("optimizer", {"optimizer": optimizer}, tmp_path)
    name = "model.fc.weight"
    assert not torch.equal(whole["models"][name], lost["models"][name])


def test_the_averaged_weights_must_be_restored(tmp_path: Path) -> None:
    whole, lost = resume_without("averaged", {"ema_decay": 0.9}, tmp_path)
    assert not torch.equal(whole["averaged"]["fc.weight"], lost["averaged"]["fc.weight"])


def test_a_shared_beginning_is_trained_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    run(two(HEAD, FULL), store, TINY)
    visits = run(two(HEAD, PART), store, TINY)
    assert [visit.reused for visit in visits] == [True, False, False]


def test_a_longer_schedule_goes_on_where_the_shorter_ended(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    run(schedule(stage(epochs=2)), store, TINY)
    visits = run(schedule(stage(epochs=3)), store, TINY)
    assert [visit.reused for visit in visits] == [True, True, False]
