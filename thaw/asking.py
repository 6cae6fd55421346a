"""Trials from Optuna, and the truth to Optuna about them.

A finished trial is COMPLETE with its best value, one that a scheduler stopped is PRUNED with its
intermediate values, and so is a diverged one; an error is FAIL.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from thaw.sampling import begun
from thaw.trials import Proposal


class OptunaSource:
    """Asks an Optuna study for trials; `propose` turns one of them into a proposal."""

    def __init__(
        self,
        study: optuna.Study,
        propose: Callable[[optuna.Trial | FrozenTrial], Proposal],
        *,
        num_trials: int,
        sampler: Callable[[int], BaseSampler],
    ) -> None:
        """Ask until the study has `num_trials`; `sampler` makes the sampler of a trial by number.

        A study with two directions is told device-seconds as the second value.
        """
        self._study = study
        self._propose = propose
        self._num_trials = num_trials
        self._sampler = sampler
        self._asked_so_far = len(begun(study))
        self._trials: dict[str, optuna.Trial | FrozenTrial] = {}
        self._reported: dict[str, set[int]] = {}
        self._several = len(study.directions) > 1

    def next(self) -> Proposal | None:
        """Ask for one more trial."""
        if self._asked_so_far >= self._num_trials:
            return None
        self._study.sampler = self._sampler(self._asked_so_far)
        self._asked_so_far += 1
        return self.adopt(self._study.ask())

    def adopt(self, trial: optuna.Trial | FrozenTrial) -> Proposal:
        """Return the proposal of a trial, which may have begun in an earlier run."""
        proposal = self._propose(trial)
        begun_with = trial if isinstance(trial, FrozenTrial) else None
        self._trials[proposal.name] = trial
        self._reported[proposal.name] = set(begun_with.intermediate_values if begun_with else ())
        return proposal

    def go_on_with(self, trial: optuna.Trial, frozen: FrozenTrial) -> Proposal:
        """Return the proposal of a trial that an earlier run left unfinished."""
        proposal = self.adopt(trial)
        self._reported[proposal.name] = set(frozen.intermediate_values)
        return proposal

    def report(self, proposal: Proposal, epoch: int, value: float) -> None:
        """Pass a value on, once for each epoch; with two objectives Optuna takes none."""
        reported = self._reported[proposal.name]
        if epoch not in reported and not self._several:
            reported.add(epoch)
            self._trials[proposal.name].report(value, epoch)

    def tell(self, proposal: Proposal, ended: str, num_segments: int) -> None:
        """Tell how the trial ended."""
        trial = self._trials.pop(proposal.name)
        self._reported.pop(proposal.name)
        if ended == "failed":
            self._study.tell(trial.number, state=TrialState.FAIL)
            return
        trial.set_user_attr("segments", num_segments)
        trial.set_user_attr("ended", ended)
        if ended == "finished" and math.isfinite(proposal.best):
            values = [proposal.best, proposal.cost_s] if self._several else proposal.best
            self._study.tell(trial.number, values)
        else:
            self._study.tell(trial.number, state=TrialState.PRUNED)
