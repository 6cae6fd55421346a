"""From a trial of Optuna to a trial of ours: values, schedule, keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from search_spaces.dimensions import Ask, Given
from search_spaces.study import Study
from thaw.population import Population
from thaw.trials import Proposal
from trainables.slot import Assignment
from trainables.spec import TrialSpec
from training.config import Config
from training.schedule import Facts, Schedule
from training.walk import foresee


@dataclass(frozen=True)
class Proposer:
    """Asks a study for the schedule of a trial; one that ended earlier is to be replayed."""

    study: Study
    config: Config
    pinned: Mapping[str, Any]
    spec: TrialSpec
    """System and task of all trials; its seed is that of every schedule."""
    facts: Facts
    replay_ends: bool = True
    """A trial that ended earlier ends where it did; else the scheduler decides again."""

    def __call__(self, trial: optuna.Trial | FrozenTrial) -> Proposal:
        """Return the proposal of a trial that is new, unfinished, or ended in an earlier run."""
        ask = Ask(trial, self.pinned)
        spec = self._spec(ask)
        told = trial.user_attrs if isinstance(trial, FrozenTrial) else {}
        until = told.get("segments", 0) if self.replay_ends else 0
        assignment = Assignment(
            f"{trial.number:04}",
            spec,
            self.facts,
            until,
            told.get("ended", ""),
        )
        keys = foresee(spec.schedule, self.facts)
        return Proposal(
            values=ask.values,
            assignment=assignment,
            keys=keys[: until or len(keys)],
            told="ended" in told,
        )

    def population(self, interval: float) -> Population:
        """Return a population over the free dimensions of the study."""
        free = tuple(d for d in self.study.dimensions if d.name not in self.pinned)
        return Population(interval, free, self._from_values, self.spec.schedule.seed)

    def _from_values(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], Schedule]:
        ask = Ask(Given(dict(values)), self.pinned)
        return ask.values, self._spec(ask).schedule

    def _spec(self, ask: Ask) -> TrialSpec:
        """Return the whole trial that `ask` answers; raise `UserError` where it does not fit."""
        schedule = self.study.space(ask, self.config, self.spec.schedule.seed)
        spec = self.spec.with_schedule(schedule)
        spec.check(self.facts)
        return spec
