"""Systems with their default configuration, trained for a moment."""

from functools import cache
from pathlib import Path

from trainables.systems import system
from training.schedule import Schedule
from training.settings import Place
from training.store import Store
from training.task import Task, facts_of
from training.trainer import Trainer
from training.walk import Visit, walk


@cache
def task_of(name: str) -> Task:
    """Return the task of a system, one object for all tests."""
    module = system(name)
    return module.build(module.Settings())


def baseline_of(name: str) -> Schedule:
    """Return the baseline of a system with seed 0."""
    module = system(name)
    return module.baseline(module.Settings(), seed=0)


def train(name: str, schedule: Schedule, folder: Path) -> list[Visit]:
    """Train one epoch of each stage on a tenth of the data."""
    stages = [s.model_copy(update={"epochs": 1, "data_fraction": 0.1}) for s in schedule.stages]
    short = schedule.model_copy(update={"stages": tuple(stages)})
    task, store = task_of(name), Store(str(folder))
    facts = facts_of(task, seed=short.seed, place=Place())
    trainer = Trainer(task, root=facts.root, seed=short.seed, store=store, place=facts.place)
    return list(walk(short, facts, store, trainer.train))
