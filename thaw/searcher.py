"""A Ray Tune searcher that knows the tree of segments.

It holds back a trial whose next segment a running trial is about to train, so that no two slots
train the same one, and starts another in its place. A trial that a pausing scheduler stopped
starts again when it is its turn: what it has done is replayed from the store. With `Fusing`, trials
that wait can be trained beside one that starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ray.tune.search import Searcher

from thaw.fusing import Fusing, Promise
from thaw.promotion import Pausing
from thaw.trials import Proposal, Source
from trainables.slot import TRIAL
from training.store import Store


class ScheduleSearcher(Searcher):
    """Suggests the trials of a source, in an order in which none waits for another."""

    def __init__(
        self,
        source: Source,
        *,
        store: Store,
        metric: str,
        mode: str,
        num_slots: int,
        resumed: Sequence[Proposal] = (),
        pausing: Pausing | None = None,
        restart: Callable[[str], None] = lambda name: None,
        fusing: Fusing | None = None,
        trained: Callable[[str, str], None] = lambda name, key: None,
    ) -> None:
        """Take trials from `source`, holding back at most two for each slot.

        `resumed` are the trials of an earlier run, which come first. With `pausing` a stopped
        trial is paused only; `restart` is called with its name before it starts again. With
        `fusing` as many more are held back as can be trained beside those that run; `trained` is
        called with the name of such a trial and the key of a segment that it has got so.
        """
        super().__init__(metric=metric, mode=mode)
        self._source = source
        self._store = store
        self._resumed = list(resumed)
        self._pausing = pausing
        self._restart = restart
        self._exhausted = False
        self._fusing = fusing
        self._trained = trained
        self._max_held = num_slots * (2 + (fusing.most if fusing else 0))
        self._held: list[Proposal] = []
        self._running: dict[str, Proposal] = {}
        self._paused: dict[str, Proposal] = {}
        self._promises: dict[str, list[Promise]] = {}

    def running_keys(self) -> frozenset[str]:
        """Return the keys that running trials may go on from; any thread may ask."""
        return frozenset(
            key
            for p in list(self._running.values())
            for key in p.keys[0 if p.assignment.spec.schedule.adaptive else max(0, p.done - 1) :]
        )

    def wanted_keys(self) -> frozenset[str]:
        """Return the keys of trials to come, and the last ones of those that are paused."""
        waiting = (*self._held, *self._resumed)
        paused = (p.keys[p.reached - 1] for p in self._paused.values())
        return frozenset((*paused, *(key for p in waiting for key in p.keys)))

    def __getstate__(self) -> dict[str, Any]:
        """Hand nothing to the pickle that Tune writes: a search goes on by replay, not from it."""
        return {}

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Accept what Tune says of metric and mode: they are the same."""
        return metric in (None, self.metric) and mode in (None, self.mode)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Return the configuration of a trial that can start now, or None to be asked later.

        At the end return `FINISHED`.
        """
        proposal = self._replayed() or self._promoted() or self._released() or self._asked()
        if proposal is None and self._is_last():
            proposal = self._promoted()
        if proposal is not None:
            self._promises[trial_id] = self._promise(proposal)
            self._running[trial_id] = proposal
            fellows = tuple(promise.order() for promise in self._promises[trial_id])
            return {**proposal.values, TRIAL: replace(proposal.assignment, fellows=fellows)}
        if not self._is_last():
            return None
        for paused in self._paused.values():
            if not paused.told:
                self._source.tell(paused, "stopped", paused.reached)
        self._paused.clear()
        return self.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note how far the trial is, and pass its value on."""
        proposal = self._running[trial_id]
        proposal.reached = result["segment"]
        proposal.done = max(proposal.done, proposal.reached)
        proposal.cost_s = result["cost_s"]
        self._promises[trial_id] = [p for p in self._promises[trial_id] if self._kept(p, proposal)]
        value = result[self.metric]
        if not math.isfinite(value):
            return
        better = max if self.mode == "max" else min
        proposal.best = value if math.isnan(proposal.best) else better(value, proposal.best)
        if not proposal.told:
            self._source.report(proposal, result["epoch"], value)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the source how the trial ended, unless it is paused or was told before.

        There is no result where a scheduler stops one that itself it had paused.
        """
        if trial_id not in self._running:
            return
        if result is not None:
            self.on_trial_result(trial_id, result)
        proposal = self._running.pop(trial_id)
        del self._promises[trial_id]
        ended = "failed" if error else (result or {}).get("ended") or "stopped"
        if ended == "stopped" and self._pausing is not None:
            self._paused[proposal.name] = proposal
            if not proposal.told:
                self._source.pause(proposal)
        elif not proposal.told:
            self._source.tell(proposal, ended, proposal.reached)

    def part(self, trial_id: str) -> None:
        """Take back that others are trained beside a running trial."""
        self._promises[trial_id] = []

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the Optuna study and the store hold everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: see `save`."""

    def _is_last(self) -> bool:
        """Tell whether nothing runs and nothing more comes."""
        return self._exhausted and not (self._running or self._held or self._resumed)

    def _promoted(self) -> Proposal | None:
        """Return a paused trial that may go on by now, if it can start.

        One that cannot, since another trains what comes next, is held back like a new one. One that
        was forked is told at once.
        """
        while self._pausing is not None:
            proposal = self._pausing.next(self._paused, is_last=self._is_last())
            if proposal is None:
                break
            if proposal.forked and not proposal.told:
                self._source.tell(proposal, "stopped", proposal.reached)
                proposal.told = True
            elif not proposal.told:
                self._source.go_on(proposal)
            self._restart(proposal.name)
            if self._free(proposal):
                return proposal
            self._held.append(proposal)
        return None

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
        """Ask the source until a proposal can start; hold back those that cannot."""
        while (proposal := self._one_more()) is not None:
            if self._free(proposal):
                return proposal
            self._held.append(proposal)
        return None

    def _one_more(self) -> Proposal | None:
        """Ask the source for one more trial, unless enough are held back."""
        if self._exhausted or len(self._held) >= self._max_held:
            return None
        proposal = self._source.next()
        self._exhausted = proposal is None
        return proposal

    def _promise(self, leader: Proposal) -> list[Promise]:
        """Choose who is trained beside a trial that starts: one for each different segment."""
        together = self._fusing.beside(leader) if self._fusing else None
        if self._fusing is None or together is None:
            return []
        promises: dict[str, Promise] = {}
        for other in self._waiting():
            if self._free(other) and (segments := together(other)):
                promises.setdefault(other.keys[segments[0]], Promise(other, segments))
            if len(promises) == self._fusing.most:
                break
        return list(promises.values())

    def _kept(self, promise: Promise, leader: Proposal) -> bool:
        """Tell whether a promise still holds after a segment of its leader; note what it gave.

        One that was not kept is none any more: the fellow trains by itself, and may overtake.
        """
        key = promise.due(leader.reached)
        if key is not None and self._known(key):
            self._trained(promise.fellow.name, key)
            return True
        return key is None

    def _waiting(self) -> Iterator[Proposal]:
        """Yield the trials that wait, and then new ones for as long as more may wait."""
        yield from (*self._resumed, *self._held)
        while (proposal := self._one_more()) is not None:
            self._held.append(proposal)
            yield proposal

    def _free(self, proposal: Proposal) -> bool:
        """Tell whether no running trial is on its way to the proposal's next segment.

        An adaptive trial is known as far as the segment that it trains now. That is enough: what
        it trains after that comes from a state which nobody else can have gone on from yet. Only a
        trial that goes back to an earlier stage can meet another one there.
        """
        for one in (proposal, *self._running.values()):
            one.look_ahead(self._store.record)
        while proposal.done < len(proposal.keys) and self._known(proposal.keys[proposal.done]):
            proposal.done += 1
        if proposal.done == len(proposal.keys):
            return True
        wanted = proposal.keys[proposal.done]
        return not any(
            wanted in other.ahead()
            or any(wanted in p.keys(other.reached) for p in self._promises[trial_id])
            for trial_id, other in self._running.items()
        )

    def _known(self, key: str) -> bool:
        return self._store.record(key) is not None
