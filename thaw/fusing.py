"""Trials that wait, and a running one whose slot trains their segments beside its own.

Trials that train only a classifier on the same frozen backbone can share each pass over the data
(`training.fused`). Which ones do is decided before the leading trial starts: those that wait, have
come as far as it, and differ from it in nothing but numbers since their ways parted. While the
leader is on its way through those segments, the others wait; then they find them in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from thaw.trials import Proposal
from trainables.fellows import Fellow
from training.errors import UserError
from training.fused import Separable, differing, unfit
from training.keys import Step
from training.settings import Settings
from training.task import Task
from training.walk import foresee_steps


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

    def beside(self, leader: Proposal) -> Callable[[Proposal], int] | None:
        """Return what says how many segments another trial has when it leaves the leader.

        It says 0 of one that cannot be trained beside it at all. None is returned where the
        leader's next segment cannot be shared with any.
        """
        trial, place = leader.assignment, leader.done
        if trial.spec.schedule.adaptive or place >= len(leader.keys):
            return None
        mine = foresee_steps(trial.spec.schedule, trial.facts)[: len(leader.keys)]
        fit = [self._fits(step.settings) for step in mine]
        if not fit[place]:
            return None

        def until(other: Proposal) -> int:
            theirs = other.assignment.spec.schedule
            if theirs.adaptive or other.done != place:
                return 0
            steps = foresee_steps(theirs, other.assignment.facts)[: len(other.keys)]
            pairs = list(zip(mine, steps, strict=False))
            parted = next((i for i, (a, b) in enumerate(pairs) if a.key != b.key), len(pairs))
            together = parted
            while together < len(pairs) and fit[together] and _same(*pairs[together]):
                together += 1
            return together if parted <= place < together else 0

        return until

    def _fits(self, settings: Settings) -> bool:
        return unfit(settings, self._task, self._models[settings.model]) is None


def _same(one: Step, other: Step) -> bool:
    return differing([one.settings, other.settings]) is None


@dataclass(frozen=True)
class Promise:
    """What a leader trains for another trial: its segments `first` to `until`, from 0."""

    fellow: Proposal
    first: int
    until: int

    def order(self) -> Fellow:
        """Return what the leader's slot is told."""
        return Fellow(self.fellow.assignment.spec.schedule, self.until)

    def keys(self, reached: int) -> Iterator[str]:
        """Yield what is still to come where the leader has come through `reached` segments."""
        yield from self.fellow.keys[max(self.first, reached) : self.until]

    def kept(self, reached: int) -> str | None:
        """Return the key of what was promised for the leader's last segment, if anything was."""
        last = reached - 1
        return self.fellow.keys[last] if self.first <= last < self.until else None
