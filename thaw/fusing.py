"""Trials that wait, and a running one whose slot trains their segments beside its own.

Trials that train only a classifier on the same frozen backbone can share each pass over the data
(`training.fused`). Which ones do is decided before the leading trial starts: those that wait, have
come as far as it, and differ from it in nothing but numbers for a while when their ways part. While
the leader is on its way through those segments, the others wait; then they find them in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from torch import nn

from thaw.trials import Proposal
from trainables.fellows import Fellow
from training.errors import UserError
from training.fused import Separable, shared, unfit
from training.settings import Settings
from training.task import Task
from training.walk import foresee_steps

_MOST_KNOWN = 256
"""Trials whose segments are remembered: making them takes as long as proposing the trial did."""


class Fusing:
    """Says which trials can be trained beside another one."""

    def __init__(self, num_trials: int, task: Task, models: nn.ModuleDict) -> None:
        """Train up to `num_trials` in one pass, the leader among them; `models` in any state.

        Raises `UserError` where the task cannot do it with any trial.
        """
        if not isinstance(task, Separable):
            raise UserError(
                f"--fuse {num_trials}: models of {task.name} do not share passes, as those of "
                "classification do; allowed: 1"
            )
        self.most = num_trials - 1
        """How many can be beside a leader."""
        self._task = task
        self._models = models
        self._known: dict[str, list[_Part]] = {}

    def beside(self, leader: Proposal) -> Callable[[Proposal], range] | None:
        """Return what says which segments of another trial, from 0, can be trained beside `leader`.

        It says none of one that cannot be trained beside it at all. None is returned where the
        leader's segments cannot be shared with any.
        """
        mine, place = self._parts(leader), leader.done
        if not any(part.fits for part in mine[place:]):
            return None

        def together(other: Proposal) -> range:
            if other.done != place:
                return range(0)
            pairs = list(zip(mine, self._parts(other), strict=False))
            parted = next((i for i, (a, b) in enumerate(pairs) if a.key != b.key), len(pairs))
            alike = takewhile(
                lambda pair: pair[0].fits and pair[0].shared == pair[1].shared, pairs[parted:]
            )
            return range(max(parted, place), parted + sum(1 for _ in alike))

        return together

    def _parts(self, proposal: Proposal) -> list[_Part]:
        """Return all segments of a trial, none where its schedule looks at its metrics."""
        trial, last = proposal.assignment, proposal.keys[-1]
        if trial.spec.schedule.adaptive:
            return []
        if last not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            steps = foresee_steps(trial.spec.schedule, trial.facts)[: len(proposal.keys)]
            self._known[last] = [
                _Part(step.key, shared(step.settings), self._fits(step.settings)) for step in steps
            ]
        return self._known[last]

    def _fits(self, settings: Settings) -> bool:
        return unfit(settings, self._task, self._models[settings.model]) is None


@dataclass(frozen=True)
class _Part:
    """A segment of a trial, as far as sharing a pass goes."""

    key: str
    shared: tuple[object, ...]
    fits: bool


@dataclass(frozen=True)
class Promise:
    """What a leader trains for another trial: some of its segments, from 0."""

    fellow: Proposal
    segments: range

    def order(self) -> Fellow:
        """Return what the leader's slot is told."""
        return Fellow(self.fellow.assignment.spec.schedule, self.segments)

    def keys(self, reached: int) -> Iterator[str]:
        """Yield what is still to come where the leader has come through `reached` segments."""
        yield from (self.fellow.keys[number] for number in self.segments if number >= reached)

    def due(self, reached: int) -> str | None:
        """Return the key of what was to be trained with the leader's last segment, if any was."""
        last = reached - 1
        return self.fellow.keys[last] if last in self.segments else None
