"""What a search runs: proposed trials, where they come from, and who learns how they ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trainables.slot import Assignment
from training.record import Record
from training.walk import foresee


@dataclass(kw_only=True)
class Proposal:
    """A trial to run: its values, what a slot must do, and the keys on its way."""

    values: dict[str, Any]
    assignment: Assignment
    keys: tuple[str, ...]
    told: bool = False
    """Its end was told in an earlier run: it is replayed only."""
    forked: bool = False
    """It goes on from another trial's state, with other values than it was asked with."""
    done: int = 0
    """How many of `keys`, from the first on, are known to be in the store."""
    reached: int = 0
    """How many segments the trial itself has come through."""
    best: float = math.nan
    cost_s: float = 0.0
    """Device-seconds of its segments so far, whoever trained them."""

    @property
    def name(self) -> str:
        """Return the trial's name, which is its folder's and its row's."""
        return self.assignment.name

    def look_ahead(self, known: Callable[[str], Record | None]) -> None:
        """Let `keys` follow what is known, where the schedule looks at its metrics.

        What comes after the first segment that is not known is what comes if no rule holds there.
        """
        trial = self.assignment
        if trial.spec.schedule.adaptive:
            keys = foresee(trial.spec.schedule, trial.facts, known)
            self.keys = keys[: trial.until or len(keys)]

    def ahead(self) -> frozenset[str]:
        """Return the keys that this trial may still have to train."""
        return frozenset(self.keys[self.done :])


class Source(Protocol):
    """Where trials come from."""

    def next(self) -> Proposal | None:
        """Return one more trial, or None where there are no more."""

    def report(self, proposal: Proposal, epoch: int, value: float) -> None:
        """Take in the finite value of a running trial after an epoch."""

    def pause(self, proposal: Proposal) -> None:
        """Take in that a scheduler paused the trial: it may go on, or be over."""

    def go_on(self, proposal: Proposal) -> None:
        """Take in that a paused trial goes on."""

    def tell(self, proposal: Proposal, ended: str, num_segments: int) -> None:
        """Take in that a trial is over: `finished`, `diverged`, `stopped` or `failed`."""


class FixedList:
    """Trials that are known beforehand, in their order; nobody learns from them."""

    def __init__(self, proposals: Sequence[Proposal]) -> None:
        """Hand out `proposals` one after the other."""
        self._left = list(proposals)

    def next(self) -> Proposal | None:
        """Return the next one."""
        return self._left.pop(0) if self._left else None

    def report(self, proposal: Proposal, epoch: int, value: float) -> None:
        """Let it be."""

    def pause(self, proposal: Proposal) -> None:
        """Let it be."""

    def go_on(self, proposal: Proposal) -> None:
        """Let it be."""

    def tell(self, proposal: Proposal, ended: str, num_segments: int) -> None:
        """Let it be."""
