"""Successive halving that pauses and promotes, as plain data: who is where, and who may go on.

Asynchronous successive halving as its authors describe it (Li et al., "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2): a trial waits at each rung until it is
among the best third there. Ray's ASHA only stops: who comes first goes on, however bad, and who was
stopped never comes back.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Container, Sequence
from typing import Protocol

from thaw.trials import Proposal


class Pausing(Protocol):
    """Decides when trials pause, and how they go on."""

    def passes(self, name: str, time: float, value: float) -> bool:
        """Tell whether a trial with this value (larger is better) at this time goes on at once."""

    def next(self, paused: dict[str, Proposal], *, is_last: bool) -> Proposal | None:
        """Return a trial to start, taken from `paused`, or None where all of them must wait.

        `is_last` says that nothing runs and that no new trial comes.
        """


class Rungs:
    """Rungs with the values of the trials that reached them; larger values are better."""

    def __init__(self, milestones: Sequence[float], *, reduction: int) -> None:
        """Begin with empty rungs at `milestones`; one in `reduction` trials is promoted."""
        self._milestones = tuple(milestones)
        self._reduction = reduction
        self._names: list[set[str]] = [set() for _ in milestones]
        self._ranking: list[list[tuple[float, int, str]]] = [[] for _ in milestones]
        self._promoted: list[set[str]] = [set() for _ in milestones]

    def passes(self, name: str, time: float, value: float) -> bool:
        """Enter a trial at the rungs that `time` has reached; tell whether it goes on at once.

        Who was promoted from a rung passes it, so that a trial can be replayed from its beginning.
        """
        for level, milestone in enumerate(self._milestones):
            if time < milestone or name in self._promoted[level]:
                continue
            self._enter(level, name, value)
            if name not in self._top(level):
                return False
            self._promoted[level].add(name)
        return True

    def next(self, paused: dict[str, Proposal], *, is_last: bool) -> Proposal | None:
        """Return a paused trial that may go on by now, taken from `paused`; see `promote`."""
        name = self.promote(paused) or (self.promote(paused, at_least=1) if is_last else None)
        return None if name is None else paused.pop(name)

    def promote(self, paused: Container[str], *, at_least: int = 0) -> str | None:
        """Return one of the `paused` trials that may go on, from the highest rung that has one.

        `at_least` so many go on from each rung: 1 at the end of a search, when no more trials come,
        so that its best one is trained to its end however few there were.
        """
        for level in reversed(range(len(self._milestones))):
            for name in self._top(level, at_least):
                if name in paused and name not in self._promoted[level]:
                    self._promoted[level].add(name)
                    return name
        return None

    def _enter(self, level: int, name: str, value: float) -> None:
        """Enter a trial at a rung, once; one without a finite value is counted but never ranked."""
        names = self._names[level]
        if name not in names:
            names.add(name)
            if math.isfinite(value):
                insort(self._ranking[level], (-value, len(names), name))

    def _top(self, level: int, at_least: int = 0) -> list[str]:
        """Return the best of a rung, best first; equal ones in the order of their arrival."""
        number = max(at_least, len(self._names[level]) // self._reduction)
        return [name for _, _, name in self._ranking[level][:number]]
