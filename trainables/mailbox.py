"""Numbered jobs between a slot and its workers, and what went wrong with those at work on them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import ray

from trainables.spec import TrialSpec
from training.keys import Step
from training.record import Record
from training.schedule import Facts

MAX_DEATHS = 3
"""Times that workers may die in one job; at the next it is given up."""


@dataclass(frozen=True)
class Job:
    """One segment to train: the last of `path`, which leads from the root."""

    spec: TrialSpec
    facts: Facts
    path: tuple[Step, ...]
    others: tuple[tuple[Step, ...], ...] = ()
    """Ways to segments of other trials that may be trained in the same pass."""


@dataclass(frozen=True)
class Failed:
    """The answer to a job that could not be done."""

    because: str
    deadly: bool = False
    """The workers did not outlive it: they are not to be asked again."""


Outcome = Record | Failed


@ray.remote(num_cpus=0)
class Mailbox:
    """A job stays until it is answered, whoever dies over it; the end of work stays for ever."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._answers: dict[int, Outcome] = {}
        self._posted = 0
        self._answered = 0
        self._taken: set[int] = set()
        self._deaths = 0
        self._incidents: list[str] = []
        self._told = False
        self._nodes: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._ended = False
        self._changed = asyncio.Condition()

    async def post(self, job: Job) -> int | None:
        """Put a job in; return its number, or None after the end of work."""
        async with self._changed:
            if self._ended:
                return None
            number, self._posted = self._posted, self._posted + 1
            self._jobs[number] = job
            self._deaths = 0
            self._changed.notify_all()
        return number

    async def over(self) -> bool:
        """Tell whether the workers were sent home, or went for want of work."""
        return self._ended

    async def end(self) -> None:
        """Send the workers home when they have answered what is here."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def first_open(self, rank: int, node: str, name: str) -> int:
        """Return the number of the first job without an answer, posted or not.

        Each worker asks when it starts, and says on which node it is, and its name for people.
        Where there was a rank 0 before, it was lost. Where that had begun the job, workers died
        over it; after too many times it is answered as failed.
        """
        number = self._answered
        before, self._names[rank] = self._names.get(rank), name
        self._nodes[rank] = node
        begun = number in self._taken
        if rank == 0 and before is not None and not self._told:
            when = "in the middle of a segment" if begun else "between two segments"
            self._incidents.append(f"{before} was lost {when}")
        if rank == 0 and begun:
            self._deaths += 1
            if self._deaths > MAX_DEATHS:
                last = f": {self._incidents[-1]}" if self._incidents else ""
                because = f"the training workers died {self._deaths} times in this segment{last}"
                await self.answer(number, Failed(because, deadly=True))
        return number

    async def take(self, number: int, rank: int, idle_s: float) -> Job | None:
        """Wait for a job; None is the end of work, which comes too when there is none for so long.

        What idle workers hold others may wait for, in a cluster that has shrunk. While rank 0 has
        not answered the last job, which it saves alone, the others are not idle.
        """
        async with self._changed:
            while number not in self._jobs and not self._ended:
                answered = self._answered
                there = self._changed.wait_for(lambda: number in self._jobs or self._ended)
                try:
                    await asyncio.wait_for(there, idle_s)
                except TimeoutError:
                    self._ended |= not self._jobs and answered == self._answered
                    self._changed.notify_all()
            if rank == 0 and number in self._jobs:
                self._taken.add(number)
                self._told = False
            return self._jobs.get(number)

    async def answer(self, number: int, outcome: Outcome) -> None:
        """Answer a job with the record, or with what went wrong."""
        async with self._changed:
            self._jobs.pop(number, None)
            self._taken.discard(number)
            self._answers[number] = outcome
            self._answered = number + 1
            self._changed.notify_all()

    async def outcome(self, number: int) -> Outcome:
        """Wait for the answer to a job; it is handed out once."""
        async with self._changed:
            await self._changed.wait_for(lambda: number in self._answers)
            return self._answers.pop(number)

    async def nodes(self) -> set[str]:
        """Return the ids of the nodes that workers are on."""
        return set(self._nodes.values())

    async def report(self, incident: str) -> None:
        """Note what happened to a worker, which dies of it."""
        self._incidents.append(incident)
        self._told = True

    async def incidents(self) -> list[str]:
        """Return what was reported, and forget it."""
        found, self._incidents = self._incidents, []
        return found
