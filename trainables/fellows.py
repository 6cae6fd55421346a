"""Trials that wait while the slot of another one trains their segments beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.keys import Step
from training.schedule import Facts, Schedule
from training.store import Store
from training.walk import path_of


@dataclass(frozen=True)
class Fellow:
    """A trial that waits while the one beside it trains segments for both in one pass."""

    schedule: Schedule
    segments: range
    """Which of its segments are trained for it, from 0."""


class Fellows:
    """Those beside one trial, from which a fellow drops out that once got nothing."""

    def __init__(self, fellows: Sequence[Fellow], facts: Facts, store: Store) -> None:
        """Begin with `fellows`, trials of the same task as the one that leads."""
        self._left = list(fellows)
        self._facts = facts
        self._store = store

    def ways(self, number: int) -> tuple[tuple[Step, ...], ...]:
        """Return the way to segment `number`, from 0, of each that has yet to train it there."""
        ways = (self._way(fellow, number) for fellow in self._left if number in fellow.segments)
        return tuple(tuple(way) for way in ways if way and self._store.record(way[-1].key) is None)

    def let_go(self, number: int) -> None:
        """Forget those for which segment `number` was not trained: they start by themselves."""
        self._left = [
            fellow
            for fellow in self._left
            if number not in fellow.segments
            or ((way := self._way(fellow, number)) and self._store.record(way[-1].key))
        ]

    def clear(self) -> None:
        """Forget all."""
        self._left = []

    def _way(self, fellow: Fellow, number: int) -> list[Step] | None:
        return path_of(number, fellow.schedule, self._facts, self._store)
