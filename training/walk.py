"""The walk: a trial is a path in the tree of segments, and no segment is trained twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from training.divergence import diverged
from training.keys import child_key
from training.record import Record
from training.schedule import Facts, Schedule
from training.store import Store
from training.trainer import Step


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A segment as one trial sees it."""

    record: Record
    stage: str
    """Name of the stage in this trial's schedule."""
    reused: bool
    """The segment was in the store and was not trained."""
    ended: str | None
    """Why the trial ends here (`finished` or `diverged`), or None where it goes on."""


def walk(
    schedule: Schedule, facts: Facts, store: Store, train: Callable[[Sequence[Step]], Record]
) -> Iterator[Visit]:
    """Walk the schedule from the root to its end, and train what is not in the store.

    `train` is given the path from the root to the segment that is missing; it restores, trains,
    evaluates and publishes.
    """
    key, path, history = facts.root, list[Step](), list[Record]()
    while (settings := schedule.next(history, facts)) is not None:
        key = child_key(key, settings)
        path.append(Step(key, settings))
        stored = store.record(key)
        record = stored or train(path)
        stage = schedule.stage_at(len(history)).name
        history.append(record)
        ended = _ending(schedule, history, facts)
        yield Visit(record=record, stage=stage, reused=stored is not None, ended=ended)
        if ended:
            return


def foresee(schedule: Schedule, facts: Facts) -> tuple[str, ...]:
    """Return the keys of all segments of a schedule that does not look at its metrics."""
    keys: list[str] = []
    history: list[Record] = []
    while (settings := schedule.next(history, facts)) is not None:
        keys.append(child_key(keys[-1] if keys else facts.root, settings))
        history.append(UNKNOWN)
    return tuple(keys)


def path_to(key: str, schedule: Schedule, facts: Facts, store: Store) -> list[Step] | None:
    """Return the way from the root to `key`, or None where no records lead there."""
    path, history = list[Step](), list[Record]()
    while (settings := schedule.next(history, facts)) is not None:
        path.append(Step(child_key(path[-1].key if path else facts.root, settings), settings))
        if path[-1].key == key:
            return path
        record = store.record(path[-1].key)
        if record is None:
            return None
        history.append(record)
    return None


def _ending(schedule: Schedule, history: list[Record], facts: Facts) -> str | None:
    if diverged(schedule, history):
        return "diverged"
    return "finished" if schedule.next(history, facts) is None else None


UNKNOWN = Record(
    key="",
    parent="",
    index=0,
    data="",
    metrics={},
    num_steps=0,
    lr_first=0.0,
    lr_last=0.0,
    world_size=1,
    train_s=0.0,
    eval_s=0.0,
    restore_s=0.0,
)
"""Stands for a segment that was not trained, where only the number of segments counts."""
