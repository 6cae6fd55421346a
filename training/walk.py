"""The walk: a trial is a path in the tree of segments, and no segment is trained twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from training.divergence import diverged
from training.keys import Step, child_key
from training.record import Record
from training.schedule import Facts, Schedule
from training.settings import Settings
from training.store import Store


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
    event: str = ""
    """What a rule of the schedule decided after it, in words."""


def walk(
    schedule: Schedule, facts: Facts, store: Store, train: Callable[[Sequence[Step]], Record]
) -> Iterator[Visit]:
    """Walk the schedule from the root to its end, and train what is not in the store.

    `train` is given the path from the root to the segment that is missing; it restores, trains,
    evaluates and publishes.
    """
    visited, history = list[Step](), list[Record]()
    while (settings := schedule.next(history, facts)) is not None:
        path = _path(schedule, visited, history, settings, facts)
        visited.append(path[-1])
        stored = store.record(path[-1].key)
        record = stored or train(path)
        stage = schedule.stage_at(history, len(history)).name
        history.append(record)
        ended = _ending(schedule, history, facts)
        event = "" if ended == "diverged" else schedule.event(history)
        yield Visit(record=record, stage=stage, reused=stored is not None, ended=ended, event=event)
        if ended:
            return


def foresee(
    schedule: Schedule, facts: Facts, known: Callable[[str], Record | None] | None = None
) -> tuple[str, ...]:
    """Return the keys of all segments that a trial comes through, in their order.

    A schedule that looks at its metrics is followed by the records that are `known`, and from
    there on as if none of its rules held. `known` must not know a key without those before it.
    """
    return tuple(step.key for step in foresee_steps(schedule, facts, known))


def foresee_steps(
    schedule: Schedule, facts: Facts, known: Callable[[str], Record | None] | None = None
) -> list[Step]:
    """Return all segments that a trial comes through, as `foresee` does, with what they do."""
    visited, history = list[Step](), list[Record]()
    while (settings := schedule.next(history, facts)) is not None:
        visited.append(_path(schedule, visited, history, settings, facts)[-1])
        record = known(visited[-1].key) if known and schedule.adaptive else None
        history.append(record or UNKNOWN)
        if record is not None and diverged(schedule, history):
            break
    return visited


def path_to(key: str, schedule: Schedule, facts: Facts, store: Store) -> list[Step] | None:
    """Return the way from the root to `key`, or None where no records lead there."""
    ways = _known_ways(schedule, facts, store)
    return next((path for path in ways if path[-1].key == key), None)


def path_of(number: int, schedule: Schedule, facts: Facts, store: Store) -> list[Step] | None:
    """Return the way from the root to segment `number`, from 0, or None as `path_to`."""
    ways = _known_ways(schedule, facts, store)
    return next(islice(ways, number, None), None)


def _known_ways(schedule: Schedule, facts: Facts, store: Store) -> Iterator[list[Step]]:
    """Yield the way to each segment of a trial, as far as there are records of those before it."""
    visited, history = list[Step](), list[Record]()
    while (settings := schedule.next(history, facts)) is not None:
        path = _path(schedule, visited, history, settings, facts)
        yield path
        record = store.record(path[-1].key)
        if record is None:
            return
        visited.append(path[-1])
        history.append(record)
        if diverged(schedule, history):
            return


def _path(
    schedule: Schedule,
    visited: Sequence[Step],
    history: Sequence[Record],
    settings: Settings,
    facts: Facts,
) -> list[Step]:
    """Return the path from the root to the next segment, which has `settings`."""
    path = [visited[place] for place in schedule.way(history)]
    return [*path, Step(child_key(path[-1].key if path else facts.root, settings), settings)]


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
