"""Trials from Optuna, and the truth to Optuna about them.

A finished trial is COMPLETE with its best value, one that a scheduler stopped is PRUNED with its
intermediate values, and so is a diverged one; an error is FAIL. A trial that is paused may still
become any of these, so Optuna holds it as RUNNING; samplers are shown it as PRUNED meanwhile.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Container
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from thaw.sampling import begun
from thaw.trials import Proposal
from training.errors import UserError


class _Judged(optuna.Study):
    """A study whose paused trials look pruned: they were judged, though they may yet go on.

    As RUNNING ones they would teach a sampler nothing, or count as bad until they end.
    """

    def __init__(self, study: optuna.Study, paused: Container[int]) -> None:
        """Look at `study`; `paused` holds the numbers of the trials that are paused now."""
        super().__init__(study.study_name, study._storage)
        self._paused = paused

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, use_cache=use_cache)
        return [
            trial for trial in map(self._shown, trials) if states is None or trial.state in states
        ]

    def _shown(self, trial: FrozenTrial) -> FrozenTrial:
        if trial.state != TrialState.RUNNING or trial.number not in self._paused:
            return trial
        pruned = copy.copy(trial)
        pruned.state = TrialState.PRUNED
        return pruned


class OptunaSource:
    """Asks an Optuna study for trials; `propose` turns one of them into a proposal."""

    def __init__(
        self,
        study: optuna.Study,
        propose: Callable[[optuna.Trial | FrozenTrial], Proposal],
        *,
        num_trials: int,
        sampler: Callable[[int], BaseSampler],
        refused: Callable[[str, dict[str, Any], str], None] = lambda name, values, why: None,
    ) -> None:
        """Ask until the study has `num_trials`; `sampler` makes the sampler of a trial by number.

        A study with two directions is told device-seconds as the second value. A trial of which
        `propose` says by a `UserError` that it cannot be has failed; `refused` is called with its
        name, its values and the reason.
        """
        self._paused: set[int] = set()
        self._study = _Judged(study, self._paused)
        self._propose = propose
        self._num_trials = num_trials
        self._sampler = sampler
        self._refused = refused
        self._asked_so_far = len(begun(study))
        self._trials: dict[str, optuna.Trial | FrozenTrial] = {}
        self._reported: dict[str, set[int]] = {}
        self._several = len(study.directions) > 1

    def next(self) -> Proposal | None:
        """Ask for one more trial; those that cannot be count too."""
        while self._asked_so_far < self._num_trials:
            self._study.sampler = self._sampler(self._asked_so_far)
            self._asked_so_far += 1
            proposal = self._accepted(self._study.ask())
            if proposal is not None:
                return proposal
        return None

    def adopt(self, trial: optuna.Trial | FrozenTrial) -> Proposal:
        """Return the proposal of a trial, which may have begun in an earlier run."""
        proposal = self._propose(trial)
        begun_with = trial if isinstance(trial, FrozenTrial) else None
        self._trials[proposal.name] = trial
        self._reported[proposal.name] = set(begun_with.intermediate_values if begun_with else ())
        return proposal

    def go_on_with(self, trial: optuna.Trial, frozen: FrozenTrial) -> Proposal | None:
        """Return the proposal of a trial that an earlier run left unfinished, if it can be."""
        proposal = self._accepted(trial)
        if proposal is not None:
            self._reported[proposal.name] = set(frozen.intermediate_values)
        return proposal

    def report(self, proposal: Proposal, epoch: int, value: float) -> None:
        """Pass a value on, once for each epoch; with two objectives Optuna takes none."""
        reported = self._reported[proposal.name]
        if epoch not in reported and not self._several:
            reported.add(epoch)
            self._trials[proposal.name].report(value, epoch)

    def pause(self, proposal: Proposal) -> None:
        """Let samplers learn from a trial that a scheduler paused."""
        self._paused.add(self._trials[proposal.name].number)

    def go_on(self, proposal: Proposal) -> None:
        """Take in that a paused trial goes on."""
        self._paused.discard(self._trials[proposal.name].number)

    def tell(self, proposal: Proposal, ended: str, num_segments: int) -> None:
        """Tell how the trial ended."""
        trial = self._trials.pop(proposal.name)
        self._paused.discard(trial.number)
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

    def _accepted(self, trial: optuna.Trial) -> Proposal | None:
        """Return the proposal of a trial; where it cannot be, tell so."""
        try:
            return self.adopt(trial)
        except UserError as error:
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._refused(f"{trial.number:04}", dict(trial.params), str(error))
            return None
