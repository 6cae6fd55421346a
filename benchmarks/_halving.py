"""Synchronous successive halving by replay: which segments it needs, from records alone.

At each rung all trials that are left have been trained equally far, and a third of them goes on
(Jamieson and Talwalkar, arXiv 1502.07943). Rungs, metric and direction are the study's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from search_spaces.study import Study
from training.schedule import Facts, Schedule
from training.settings import Place
from training.store import Store
from training.task import Task, facts_of
from training.trainer import Trainer
from training.walk import walk

REDUCTION = 3


@dataclass(frozen=True)
class Path:
    """A trial that was trained to its end: its keys, and what halving looks at."""

    keys: tuple[str, ...]
    epochs: tuple[int, ...]
    """For each segment: epochs on the objective's data up to its end."""
    values: tuple[float, ...]
    """For each segment: the study's metric, larger is better."""

    def segments(self, epochs: int) -> int:
        """Return how many segments lead to the end of the epoch `epochs`."""
        return next(i for i, done in enumerate(self.epochs, 1) if done == epochs)


@dataclass(frozen=True)
class Needed:
    """What a list of trials needs."""

    naive: int
    """Segments where every trial starts from nothing."""
    careful: int
    """Segments where every trial starts from the end of what all have in common."""
    common: int
    """Segments of that common beginning."""
    num_trials: int
    keys: frozenset[str]
    """The distinct segments."""

    def and_also(self, other: Needed) -> Needed:
        """Return what two lists need together that begin with the same common segments."""
        return Needed(
            self.naive + other.naive,
            self.careful + other.careful - self.common,
            self.common,
            self.num_trials + other.num_trials,
            self.keys | other.keys,
        )

    @property
    def ratio_naive(self) -> float:
        """Return naive over distinct segments, the common beginning included."""
        return self.naive / len(self.keys)

    @property
    def ratio_careful(self) -> float:
        """Return careful over distinct segments."""
        return self.careful / len(self.keys)

    @property
    def ratio_after_common(self) -> float:
        """Return naive over distinct segments, of what follows the common beginning alone."""
        return (self.naive - self.num_trials * self.common) / (len(self.keys) - self.common)


def train_paths(
    study: Study, schedules: Sequence[Schedule], task: Task, seed: int, store: Store
) -> list[Path]:
    """Train what the store lacks of `schedules`, here and now, and return their paths."""
    place = Place()
    facts = facts_of(task, seed=seed, place=place)
    trainer = Trainer(task, root=facts.root, seed=seed, store=store, place=place)
    return [_path(study, schedule, facts, store, trainer) for schedule in schedules]


def _path(study: Study, schedule: Schedule, facts: Facts, store: Store, trainer: Trainer) -> Path:
    sign = 1 if study.mode == "max" else -1
    keys, epochs, values = list[str](), list[int](), list[float]()
    for visit in walk(schedule, facts, store, trainer.train):
        keys.append(visit.record.key)
        on_objective = visit.record.data == schedule.objective
        epochs.append((epochs[-1] if epochs else 0) + on_objective)
        values.append(sign * visit.record.metrics[study.metric])
    return Path(tuple(keys), tuple(epochs), tuple(values))


def rungs_of(study: Study) -> list[int]:
    """Return the epochs of the rungs: those of ASHA with the study's grace and length."""
    rungs = [study.grace_epochs]
    while rungs[-1] * REDUCTION < study.max_epochs:
        rungs.append(rungs[-1] * REDUCTION)
    return rungs


def halve(paths: Sequence[Path], rungs: Sequence[int], draw: Random) -> Needed:
    """Return what halving needs at `rungs`, in epochs; `draw` breaks ties."""
    length = [0] * len(paths)
    alive = list(range(len(paths)))
    for rung in rungs:
        for number in alive:
            length[number] = paths[number].segments(rung)
        draw.shuffle(alive)
        alive.sort(key=lambda number: -paths[number].values[length[number] - 1])
        alive = alive[: max(1, len(alive) // REDUCTION)]
    for number in alive:
        length[number] = len(paths[number].keys)
    return needed([path.keys[:done] for path, done in zip(paths, length, strict=True)])


def needed(trials: Sequence[tuple[str, ...]]) -> Needed:
    """Return what trials of these keys need."""
    naive = sum(map(len, trials))
    levels = [len(set(level)) for level in zip(*trials, strict=False)]
    common = next((depth for depth, num in enumerate(levels) if num > 1), len(levels))
    careful = naive - common * (len(trials) - 1)
    distinct = frozenset(key for keys in trials for key in keys)
    return Needed(naive, careful, common, len(trials), distinct)
