"""Systems as they are by default, with less data where that is much, trained for a moment."""

from functools import cache
from pathlib import Path

from trainables.systems import system
from training.config import Config
from training.schedule import Schedule
from training.settings import Place
from training.store import Store
from training.task import Task, facts_of
from training.trainer import Trainer
from training.walk import Visit, walk

_LESS: dict[str, dict[str, int]] = {"cyclic": {"identities": 24, "images": 4}}
"""Settings that differ from the defaults: fewer people to evaluate after each segment."""


def settings_of(name: str) -> Config:
    """Return the configuration of a system that the tests train."""
    return system(name).Settings.model_validate(_LESS.get(name, {}))


@cache
def task_of(name: str) -> Task:
    """Return the task of a system, one object for all tests."""
    return system(name).build(settings_of(name))


def baseline_of(name: str) -> Schedule:
    """Return the baseline of a system with seed 0."""
    return system(name).baseline(settings_of(name), seed=0)


def train(name: str, schedule: Schedule, folder: Path) -> list[Visit]:
    """Train one epoch of each stage on a tenth of the data."""
    stages = [s.model_copy(update={"epochs": 1, "data_fraction": 0.1}) for s in schedule.stages]
    short = schedule.model_copy(update={"stages": tuple(stages)})
    task, store = task_of(name), Store(str(folder))
    facts = facts_of(task, seed=short.seed, place=Place())
    trainer = Trainer(task, root=facts.root, seed=short.seed, store=store, place=facts.place)
    return list(walk(short, facts, store, trainer.train))
