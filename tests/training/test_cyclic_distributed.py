"""Two processes train the two models as one does, and measure the same."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from training.cyclic import Cyclic
from training.cyclic_config import CyclicConfig
from training.record import Record
from training.schedule import Schedule, Stage
from training.settings import Place
from training.store import Store
from training.task import facts_of
from training.trainer import Trainer
from training.walk import walk

SGD = {"kind": "sgd", "momentum": 0.0}
PLAN = Schedule(
    stages=tuple(
        Stage.parse({"epochs": 1, "lr": 0.01, "batch_size": 2, "optimizer": SGD} | stage)
        for stage in (
            {"name": "dsr", "model": "dsr", "loss": {"l1": 1.0, "identity": 0.5}},
            {"name": "head", "model": "edgeface", "groups": {"arcface": 1.0, "*": "frozen"}},
            {"name": "all", "model": "edgeface"},
        )
    )
)


def run(world_size: int, folder: str) -> list[Record]:
    torch.set_num_threads(1)
    task = Cyclic(CyclicConfig(identities=4, images=2, blocks=2, width=4))
    place = Place(world_size=world_size)
    facts = facts_of(task, seed=0, place=place)
    PLAN.check(facts)
    by = Trainer(task, root=facts.root, seed=0, store=Store(folder), place=place)
    return [visit.record for visit in walk(PLAN, facts, Store(folder), by.train)]


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    records = run(2, f"{folder}/two")
    torch.save([record.metrics for record in records], f"{folder}/metrics-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    one = [record.metrics for record in run(1, str(tmp_path / "one"))]
    two, other = (torch.load(tmp_path / f"metrics-{rank}.pt") for rank in (0, 1))
    assert two == other, "the ranks measured different things"
    for stage, single, both in zip(PLAN.stages, one, two, strict=True):
        assert both == pytest.approx(single, rel=1e-3, abs=1e-4), stage.name
