"""What stands for Ray Tune where thousands of trials must run in seconds: one loop, no processes.

Searcher, scheduler and callbacks are real, and are called as Ray 2.60 calls them
(`TuneController._process_trial_result`, `stop_trial`): a result goes to the scheduler, then to the
searcher unless the trial stops, then to the callbacks; the last one goes to both again as the
trial's end. Time is virtual: a segment that is trained takes one tick, a replayed one none. What a
slot trains is in the store when its tick is over, as it is with slots that are processes.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from ray.tune import Callback
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from training.keys import Step
from training.record import Record
from training.store import Store

Results = Iterator[dict[str, Any]]


class Broken(Exception):
    """The training of a segment failed: the trial ends with an error when the tick is over."""


@dataclass(eq=False, kw_only=True)
class Trial:
    """What searchers, schedulers and callbacks see of a Tune trial."""

    trial_id: str
    config: dict[str, Any]
    local_path: str
    last_result: dict[str, Any] = field(default_factory=dict)
    error_file: None = None
    run_metadata: SimpleNamespace = field(default_factory=SimpleNamespace)


class Loop:
    """Slots that run what a searcher suggests for as long as a scheduler lets them.

    `begin` walks a trial: it yields the results of its segments, each with `key`, `reused` and
    `done`, and trains at once what is missing; `publish` is called with a key when that segment's
    tick is over. `takes` says how many ticks the next segment takes. No more than `num_trials` are
    asked for.
    """

    def __init__(
        self,
        searcher: Searcher,
        scheduler: TrialScheduler,
        begin: Callable[[Trial], Results],
        *,
        num_slots: int,
        num_trials: float = float("inf"),
        publish: Callable[[str], None] = lambda key: None,
        callbacks: Sequence[Callback] = (),
        takes: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self._searcher = searcher
        self._scheduler: Any = scheduler  # our trials stand for Tune's
        self._begin = begin
        self._num_slots = num_slots
        self._num_trials = num_trials
        self._publish = publish
        self._callbacks = callbacks
        self._takes = takes
        self._flights: list[tuple[float, int, Trial, dict[str, Any] | None]] = []
        self._order = itertools.count()
        self._walks: dict[str, Results] = {}
        self.now = 0.0
        """Ticks since the beginning."""
        self.trials: list[Trial] = []
        self.trained: list[str] = []
        """Keys of the segments trained so far, in the order of their ends."""

    def run(self, most_trained: float = float("inf")) -> None:
        """Run until the searcher has no more trials, or `most_trained` segments were trained."""
        while len(self.trained) < most_trained:
            suggested = self._fill()
            if not self._flights:
                if suggested is None:
                    raise RuntimeError("all slots are free and the searcher holds its trials back")
                return
            self.now, _, trial, result = heapq.heappop(self._flights)
            if result is None:
                self._fail(trial)
                continue
            self._publish(result["key"])
            self.trained.append(result["key"])
            if self._report(trial, result):
                self._go_on(trial)

    def _fill(self) -> Any:
        """Start trials on free slots; return the searcher's last answer."""
        config: Any = Searcher.FINISHED
        while len(self._flights) < self._num_slots and len(self.trials) < self._num_trials:
            trial_id = f"{len(self.trials):05}"
            config = self._searcher.suggest(trial_id)
            if not isinstance(config, dict):
                break
            trial = Trial(trial_id=trial_id, config=config, local_path=trial_id)
            self.trials.append(trial)
            self._scheduler.on_trial_add(None, trial)
            self._call("on_trial_start", trial)
            self._walks[trial_id] = self._begin(trial)
            self._go_on(trial)
        return config

    def _go_on(self, trial: Trial) -> None:
        """Report what is replayed and take off with the first segment that is trained."""
        while True:
            try:
                result = next(self._walks[trial.trial_id])
            except Broken:
                result = None
            if result is None or not result["reused"]:
                landing = self.now + self._takes()
                heapq.heappush(self._flights, (landing, next(self._order), trial, result))
                return
            if not self._report(trial, result):
                return

    def _report(self, trial: Trial, result: dict[str, Any]) -> bool:
        """Tell everybody of a result; return whether the trial goes on."""
        reports = trial.last_result.get("training_iteration", 0) + 1
        result |= {"trial_id": trial.trial_id, "training_iteration": reports}
        if not result["done"]:
            decision = self._scheduler.on_trial_result(None, trial, result)
            result["done"] = decision == TrialScheduler.STOP
        ends = result["done"]
        if not ends:
            self._searcher.on_trial_result(trial.trial_id, result)
        self._call("on_trial_result", trial, result=result)
        trial.last_result = result
        if ends:
            self._scheduler.on_trial_complete(None, trial, result)
            self._searcher.on_trial_complete(trial.trial_id, result=result)
            self._call("on_trial_complete", trial)
            del self._walks[trial.trial_id]
        return not ends

    def _fail(self, trial: Trial) -> None:
        self._scheduler.on_trial_error(None, trial)
        self._searcher.on_trial_complete(trial.trial_id, error=True)
        self._call("on_trial_error", trial)
        del self._walks[trial.trial_id]

    def _call(self, event: str, trial: Trial, **info: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(iteration=0, trials=self.trials, trial=trial, **info)


class Shelf(Store):
    """A store of records in memory."""

    def __init__(self) -> None:
        super().__init__("shelf")

    def record(self, key: str) -> Record | None:
        """Return the record of `key`, or None where there is none."""
        return self._records.get(key)

    def publish(self, record: Record, state: dict[str, Any]) -> None:
        """Keep the record."""
        self._records[record.key] = record


class Workshop:
    """What is trained for one store: made at once, in the store when its segment is over."""

    def __init__(self, store: Store, make: Callable[[Sequence[Step]], Record]) -> None:
        """Let `make` train the last segment of a path."""
        self.store = store
        self._make = make
        self._unpublished: dict[str, Record] = {}

    def train(self, path: Sequence[Step]) -> Record:
        """Return the record of the last segment of `path`, which nobody else sees yet."""
        record = self._unpublished[path[-1].key] = self._make(path)
        return record

    def publish(self, key: str) -> None:
        """Put the record of `key` into the store; who trained it too may have been first."""
        if (record := self._unpublished.pop(key, None)) is not None:
            self.store.publish(record, {})
