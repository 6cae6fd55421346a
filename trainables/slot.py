"""The slot: a Tune trainable that walks one trial after another on the same warm workers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune

from trainables.fellows import Fellow, Fellows
from trainables.mailbox import Job
from trainables.pool import Pool, Workers, WorkersLost
from trainables.spec import TrialSpec
from training.keys import Step
from training.record import Record
from training.schedule import Facts
from training.store import Store
from training.walk import Visit, walk

_NEW_WORKERS = 3
"""Worker groups that one segment may lose for no fault of its own."""

TRIAL = "schedule"
"""Key of a trial's configuration that holds its `Assignment`."""


@dataclass(frozen=True)
class Assignment:
    """What a slot is asked to do; the other keys of the configuration are for the tables."""

    name: str
    """The trial's number, as Optuna counts."""
    spec: TrialSpec
    facts: Facts
    until: int = 0
    """Segments after which a replayed trial ends as it did before; 0 for a trial that is new."""
    because: str = ""
    """How the replayed trial ended."""
    fellows: tuple[Fellow, ...] = ()
    """Trials that may be trained beside this one."""

    def __str__(self) -> str:
        """Name the file that holds the schedule; Tune writes this to its tables."""
        return "see schedule.yaml"


class Slot(tune.Trainable):
    """One step trains, or replays, one segment; the workers outlive the trial."""

    def setup(self, config: dict[str, Any], workers: Workers | None = None) -> None:
        """Open the store; workers start when the first segment must be trained."""
        assert workers is not None
        self._workers = workers
        self._store = Store(workers.store)
        self._pool: Pool | None = None
        self._incidents: list[str] = []
        self._begin(config[TRIAL])

    def step(self) -> dict[str, Any]:
        """Return the next segment's result."""
        result = next(self._results)
        self._key = result["key"]
        result["incidents"] = "; ".join(self._incidents)
        self._incidents.clear()
        return result

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial; the workers stay."""
        self._begin(new_config[TRIAL])
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Save the key of the last segment: the state itself is in the store."""
        return {"key": self._key}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Replay up to the saved key; every segment on the way is in the store.

        The slot that it left may have let fellows go, so that they run by now: none are left.
        """
        self._fellows.clear()
        key = (checkpoint or {}).get("key")
        while key and self._key != key:
            self.step()

    def cleanup(self) -> None:
        """End the worker group and wait for it."""
        self._close()

    def _begin(self, trial: Assignment) -> None:
        self._trial = trial
        self._fellows = Fellows(trial.fellows, trial.facts, self._store)
        self._key = ""
        self._results: Iterator[dict[str, Any]] = results(
            trial, walk(trial.spec.schedule, trial.facts, self._store, self._train)
        )

    def _train(self, path: Sequence[Step]) -> Record:
        """Train a segment, on new workers where those at hand are gone or about to go."""
        number = len(path) - 1
        job = Job(self._trial.spec, self._trial.facts, tuple(path), self._fellows.ways(number))
        if self._pool is not None and self._pool.over():
            self._close()
        elif self._pool is not None and self._pool.must_move():
            self._incidents.append("its node is to go: the slot moved before it did")
            self._close()
        for tries in range(1, _NEW_WORKERS + 1):
            if self._pool is None:
                self._pool = Pool(self._workers)
            try:
                record = self._pool.train(job)
                self._fellows.let_go(number)
                return record
            except WorkersLost as lost:
                self._incidents.append(str(lost))
                self._close()
                if tries == _NEW_WORKERS:
                    raise
            finally:
                if self._pool is not None:
                    self._incidents += self._pool.incidents()
                    if not self._pool.usable:
                        self._close()
        raise AssertionError("unreachable")

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def results(trial: Assignment, visits: Iterable[Visit]) -> Iterator[dict[str, Any]]:
    """Yield what Tune is told of each segment that a trial visits."""
    stages, objective = trial.spec.schedule.stages, trial.spec.schedule.objective
    num_epochs = sum(stage.epochs for stage in stages if stage.data == objective)
    epoch, last_epoch, cost_s = 0, 0, 0.0
    iterations = trial.spec.schedule.iterations_before
    by_iteration = any(stage.segment_iterations for stage in stages)
    for segment, visit in enumerate(visits, 1):
        record = visit.record
        epoch += record.data == objective
        last_epoch += visit.stage == stages[-1].name
        cost_s += record.device_s
        iterations += record.num_steps
        replayed = bool(trial.until) and segment >= trial.until
        ended = trial.because if replayed else visit.ended or ""
        yield {
            **_metrics(record, trial.facts, objective),
            "epoch": epoch,
            **({"iterations": iterations} if by_iteration else {}),
            "progress": min(100.0, 100 * epoch / num_epochs),
            "last_stage_progress": min(100.0, 100 * last_epoch / stages[-1].epochs),
            "segment": segment,
            "stage": visit.stage,
            "event": visit.event,
            "lr": record.lr_last,
            "reused": visit.reused,
            "micro_batches": record.micro_batches,
            **({"peak_memory_bytes": record.peak_bytes} if record.peak_bytes else {}),
            "device_s": record.device_s,
            "cost_s": cost_s,
            "key": record.key,
            "ended": ended,
            "done": bool(ended),
        }


def _metrics(record: Record, facts: Facts, objective: str) -> dict[str, float]:
    """Return all metrics of all data sets, NaN for those this segment was not measured on.

    Those of the objective's data set have their plain names, others are prefixed: Tune fixes its
    columns at the first result, and an accuracy on another task must not be ranked.
    """
    found: dict[str, float] = {}
    for data, _ in facts.num_train:
        for name, value in record.metrics.items():
            shown = name if data == objective else f"{data}_{name}"
            found[shown] = value if data == record.data else math.nan
    return found
