"""A Ray Tune searcher over Optuna's ask and tell that knows the tree of segments.

It holds back a suggestion whose next segment a running trial is about to train, so that no two
slots train the same one, and it tells Optuna the truth: what a scheduler stopped is PRUNED with
its intermediate values, a diverged trial too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from thaw.sampling import begun
from trainables.slot import TRIAL, Assignment
from training.store import Store


@dataclass
class Proposal:
    """A suggested trial: its values, what a slot must do, and the keys on its way."""

    trial: optuna.Trial | FrozenTrial
    values: dict[str, Any]
    assignment: Assignment
    keys: tuple[str, ...]
    done: int = 0
    """How many of `keys`, from the first on, are known to be in the store."""
    best: float = math.nan
    reported: set[int] = field(default_factory=set)

    def ahead(self) -> frozenset[str]:
        """Return the keys that this trial may still have to train."""
        return frozenset(self.keys[self.done :])


class ScheduleSearcher(Searcher):
    """Suggests schedules; `propose` turns an Optuna trial into a proposal."""

    def __init__(
        self,
        study: optuna.Study,
        propose: Callable[[optuna.Trial], Proposal],
        *,
        store: Store,
        metric: str,
        num_trials: int,
        num_slots: int,
        sampler: Callable[[int], BaseSampler],
        resumed: Sequence[Proposal] = (),
    ) -> None:
        """Ask `study` until it has `num_trials`, holding back at most two for each slot.

        `sampler` makes the sampler of a trial by its number; `resumed` are the trials of an
        earlier run, which come first.
        """
        mode = "max" if study.direction == optuna.study.StudyDirection.MAXIMIZE else "min"
        super().__init__(metric=metric, mode=mode)
        self._study = study
        self._propose = propose
        self._store = store
        self._sampler = sampler
        self._resumed = list(resumed)
        self._asked_so_far = len(begun(study))
        self._num_trials = num_trials
        self._max_held = 2 * num_slots
        self._held: list[Proposal] = []
        self._running: dict[str, Proposal] = {}

    def needed(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the keys that running trials may go on from, and those of trials to come."""
        running = (key for p in self._running.values() for key in p.keys[max(0, p.done - 1) :])
        held = (key for p in (*self._held, *self._resumed) for key in p.keys)
        return frozenset(running), frozenset(held)

    @property
    def num_to_run(self) -> int:
        """Return how many trials Tune will see: those of an earlier run and those to be asked."""
        return len(self._resumed) + max(0, self._num_trials - self._asked_so_far)

    def __getstate__(self) -> dict[str, Any]:
        """Hand nothing to the pickle that Tune writes: a search goes on by replay, not from it."""
        return {}

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Accept what Tune says of metric and mode: they are the same."""
        return metric in (None, self.metric) and mode in (None, self.mode)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the configuration of a trial that can start now, or None to be asked later."""
        proposal = self._replayed() or self._released() or self._asked()
        if proposal is None:
            return None
        self._running[trial_id] = proposal
        return {**proposal.values, TRIAL: proposal.assignment}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note how far the trial is, and pass its value on to Optuna."""
        proposal = self._running[trial_id]
        proposal.done = max(proposal.done, result["segment"])
        value, epoch = result[self.metric], result["epoch"]
        if math.isfinite(value):
            if epoch not in proposal.reported:
                proposal.reported.add(epoch)
                proposal.trial.report(value, epoch)
            better = max if self.mode == "max" else min
            proposal.best = value if math.isnan(proposal.best) else better(value, proposal.best)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how the trial ended: complete with its best value, pruned, or failed."""
        if trial_id not in self._running:
            return
        if result is not None:
            self.on_trial_result(trial_id, result)
        proposal = self._running.pop(trial_id)
        if proposal.assignment.until:
            return  # told in an earlier run
        if error or result is None:
            self._study.tell(proposal.trial.number, state=TrialState.FAIL)
            return
        proposal.trial.set_user_attr("segments", result["segment"])
        proposal.trial.set_user_attr("ended", result["ended"] or "stopped")
        if result["ended"] == "finished" and math.isfinite(proposal.best):
            self._study.tell(proposal.trial.number, proposal.best)
        else:
            self._study.tell(proposal.trial.number, state=TrialState.PRUNED)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the Optuna study and the store hold everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: see `save`."""

    def _replayed(self) -> Proposal | None:
        """Return the next trial of an earlier run, if it can start."""
        if self._resumed and self._free(self._resumed[0]):
            return self._resumed.pop(0)
        return None

    def _released(self) -> Proposal | None:
        """Return the first proposal held back that no longer waits for a running trial."""
        for index, proposal in enumerate(self._held):
            if self._free(proposal):
                return self._held.pop(index)
        return None

    def _asked(self) -> Proposal | None:
        """Ask Optuna until a proposal can start; hold back those that cannot."""
        while self._asked_so_far < self._num_trials and len(self._held) < self._max_held:
            self._study.sampler = self._sampler(self._asked_so_far)
            self._asked_so_far += 1
            proposal = self._propose(self._study.ask())
            if self._free(proposal):
                return proposal
            self._held.append(proposal)
        return None

    def _free(self, proposal: Proposal) -> bool:
        """Tell whether no running trial is on its way to the proposal's next segment."""
        while proposal.done < len(proposal.keys) and self._known(proposal.keys[proposal.done]):
            proposal.done += 1
        if proposal.done == len(proposal.keys):
            return True
        wanted = proposal.keys[proposal.done]
        return not any(wanted in other.ahead() for other in self._running.values())

    def _known(self, key: str) -> bool:
        return self._store.record(key) is not None
