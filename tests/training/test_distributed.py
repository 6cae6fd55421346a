"""Two processes: as one at the same global batch, and they resume exactly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.training.helpers import (
    TinyTask,
    facts,
    outcome,
    part_of,
    run,
    same,
    schedule,
    stage,
    state,
    trainer,
    weights,
)
from training.record import Record
from training.schedule import Schedule
from training.settings import Place
from training.store import Store
from training.walk import foresee, walk

TWO = Place(world_size=2)
TINY = TinyTask()
SGD: dict[str, Any] = {"optimizer": {"kind": "sgd"}, "lr": 0.01}
HEAD: dict[str, Any] = {"groups": {"head": 1.0, "*": "frozen"}}
THAW = schedule(
    stage(**SGD, **HEAD, batchnorm="eval_all", epochs=2),
    stage(**SGD, batchnorm="eval_all", epochs=2, accumulate=2),
)
MIXING = schedule(stage(ema_decay=0.5, epochs=1), stage(ema_decay=0.5, **HEAD), stage(epochs=1))
KNOBS: dict[str, Any] = {
    **SGD,
    "augment": {"mixup": 0.4, "cutmix": 1.0, "shift": 0.1, "flip": True},
    "loss": {"class_weight_power": 1.0, "label_smoothing": 0.1},
    "sampler": "balanced",
    "batchnorm": "eval_all",
    "ema_decay": 0.5,
}
KNOBS_THAW = schedule(stage(**KNOBS, **HEAD, epochs=1), stage(**KNOBS, batch_size=12, accumulate=3))
FIXED: dict[str, Any] = {**SGD, "batchnorm": "eval_all"}
ALWAYS = {"any": [{"kind": "accuracy_settled", "points": 100.0, "patience": 1}]}
NEVER_BETTER = {"any": [{"kind": "plateau", "min_delta": 100.0, "patience": 1}]}
ADAPTIVE = schedule(
    stage(**FIXED, **HEAD, name="head", epochs=4, until=ALWAYS),
    stage(
        **FIXED,
        name="full",
        epochs=3,
        roll_back={"when": NEVER_BETTER, "tries": 1, "lr": 0.3},
    ),
    stage(**FIXED, name="last", epochs=1),
)
"""The head ends after 2 of 4 epochs; the full stage goes back twice; all adaptive by what both
processes measured together."""
PLANS = {"thaw": THAW, "mixing": MIXING, "knobs": KNOBS_THAW, "adaptive": ADAPTIVE}
AGREEING = ("thaw", "knobs", "adaptive")
"""Plans whose BatchNorm is fixed: its batch statistics are those of one process's share."""


def names(name: str, folder: Path | str) -> tuple[str, ...]:
    """Return the keys of a plan that was run by two processes."""
    store = Store(f"{folder}/{name}")
    return foresee(PLANS[name], facts(TINY, place=TWO), store.record)


def work(rank: int, folder: str) -> None:
    """Run every plan without a stop, then again from each border by a new trainer."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    for name, plan in PLANS.items():
        records = run_both(plan, Store(f"{folder}/{name}"))
        torch.save([outcome(r) for r in records], f"{folder}/{name}-records-{rank}.pt")
        keys = names(name, folder)
        for border in range(1, len(keys)):
            copy = Path(f"{folder}/{name}-{border}")
            if rank == 0:
                part_of(Store(f"{folder}/{name}"), keys[:border], copy)
            dist.barrier()
            records = run_both(plan, Store(str(copy)))
            torch.save([outcome(r) for r in records], f"{copy}-records-{rank}.pt")
    share_beginnings(rank, folder)
    dist.destroy_process_group()


def share_beginnings(rank: int, folder: str) -> None:
    """Save which segments a plan reuses of another one with the same first stage."""
    head, store = KNOBS_THAW.stages[0], Store(f"{folder}/knobs")
    other = KNOBS_THAW.model_copy(update={"stages": (head, stage(**SGD, epochs=1))})
    by = trainer(TINY, store, place=TWO)
    visits = list(walk(other, facts(TINY, place=TWO), store, by.train))
    torch.save([visit.reused for visit in visits], f"{folder}/reused-{rank}.pt")
    dist.barrier()


def run_both(plan: Schedule, store: Store) -> list[Record]:
    by = trainer(TINY, store, place=TWO)
    records = [visit.record for visit in walk(plan, facts(TINY, place=TWO), store, by.train)]
    dist.barrier()
    return records


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The stores of all runs of two processes."""
    path = tmp_path_factory.mktemp("two")
    mp.spawn(work, args=(str(path),), nprocs=2)
    yield path


@pytest.mark.parametrize("name", AGREEING)
def test_two_processes_equal_one_across_a_thaw(name: str, folder: Path, tmp_path: Path) -> None:
    single = Store(str(tmp_path))
    visits = run(PLANS[name], single, TINY)
    store = Store(str(folder / name))
    for visit, key in zip(visits, names(name, folder), strict=True):
        one, two = weights(single, visit.record.key), weights(store, key)
        gaps = {name: float((one[name] - two[name]).abs().max()) for name in one}
        worst = max(gaps, key=gaps.__getitem__)
        assert gaps[worst] <= 1e-5, f"segment {visit.record.index}: {worst} by {gaps[worst]}"


@pytest.mark.parametrize("name", AGREEING)
def test_two_processes_measure_what_one_does(name: str, folder: Path, tmp_path: Path) -> None:
    visits = run(PLANS[name], Store(str(tmp_path)), TINY)
    records = [Store(str(folder / name)).record(key) for key in names(name, folder)]
    for visit, record in zip(visits, records, strict=True):
        assert record is not None
        assert record.metrics == pytest.approx(visit.record.metrics, abs=1e-4)


def test_two_processes_count_the_confusion_of_one(folder: Path, tmp_path: Path) -> None:
    visits = run(THAW, Store(str(tmp_path)), TINY)
    records = [Store(str(folder / "thaw")).record(key) for key in names("thaw", folder)]
    for visit, record in zip(visits, records, strict=True):
        assert record is not None
        assert record.tables == visit.record.tables
        num = sum(row[2] for row in record.tables["val_confusion"])
        assert num == TINY.num, "each validation image counts once, whoever has it"


def test_the_weights_of_the_thawed_layers_move(folder: Path) -> None:
    store = Store(str(folder / "thaw"))
    before, after = (weights(store, names("thaw", folder)[i]) for i in (1, 2))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "layer1.0.conv1.weight" in moved


def test_two_processes_end_a_stage_and_go_back_as_one_does(folder: Path, tmp_path: Path) -> None:
    visits = run(ADAPTIVE, Store(str(tmp_path)), TINY)
    told = [visit.event for visit in visits]
    assert told[1] == "accuracy_settled: head ends"
    assert "try 2 with LR x 0.3" in told[3] and "and on from there" in told[5], told
    store, history = Store(str(folder / "adaptive")), list[Record]()
    for key, expected in zip(names("adaptive", folder), told, strict=True):
        record = store.record(key)
        assert record is not None
        history.append(record)
        assert ADAPTIVE.event(history) == expected


@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_share_a_beginning_with_another_plan(rank: int, folder: Path) -> None:
    assert torch.load(folder / f"reused-{rank}.pt") == [True, False]


def test_one_and_two_processes_do_not_share(folder: Path) -> None:
    alone = foresee(KNOBS_THAW, facts(TINY))
    assert set(alone).isdisjoint(names("knobs", folder))


@pytest.mark.parametrize("name", PLANS)
def test_two_processes_resume_exactly_at_every_border(name: str, folder: Path) -> None:
    *before, last = names(name, folder)
    for border in range(1, len(before) + 1):
        again = Store(str(folder / f"{name}-{border}"))
        same(
            {f"border {border}": state(Store(str(folder / name)), last)},
            {f"border {border}": state(again, last)},
        )


@pytest.mark.parametrize("name", PLANS)
def test_two_processes_record_the_same_after_resuming(name: str, folder: Path) -> None:
    straight = torch.load(folder / f"{name}-records-0.pt")
    for border in range(1, len(straight)):
        for rank in (0, 1):
            resumed = torch.load(folder / f"{name}-{border}-records-{rank}.pt")
            same(
                {f"border {border} rank {rank}": straight},
                {f"border {border} rank {rank}": resumed},
            )
