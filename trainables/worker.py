"""What a worker of a slot does: it trains one segment after another, on the same live trainer."""

from __future__ import annotations

import os
import socket
from typing import Any

import ray

from trainables.mailbox import Failed, Job, Outcome
from trainables.pool import Workers
from trainables.watchdog import Watchdog
from training.segment import world_rank
from training.store import Store
from training.trainer import Trainer
from training.trouble import StoreTrouble

_IDLE_S = 60.0
"""Seconds without work after which workers give back what they hold."""
_TELL_S = 30.0


def serve(mailbox: Any, workers: Workers) -> None:
    """Work through the mailbox until the end of work."""
    store, rank = Store(workers.store), world_rank()
    name = f"worker {rank} (process {os.getpid()} on {socket.gethostname()})"
    node = ray.get_runtime_context().get_node_id()
    number = ray.get(mailbox.first_open.remote(rank, node, name))
    watchdog = Watchdog(workers.hang_after_s, lambda text: _tell(mailbox, text), name)
    trainers = Trainers(store)
    while (job := ray.get(mailbox.take.remote(number, rank, _IDLE_S))) is not None:
        try:
            with watchdog.watching():
                outcome: Outcome = trainers.of(job).train_beside(job.path, job.others)
        except Exception as error:
            outcome = Failed(f"{type(error).__name__}: {error}")
            if job.facts.place.world_size > 1:
                if isinstance(error, StoreTrouble):  # a restart would not mend it
                    ray.get(mailbox.answer.remote(number, outcome))
                else:
                    _tell(mailbox, outcome.because)
                raise  # the other ranks wait in a collective: Ray Train must restart them all
            trainers.drop()
        if rank == 0:
            ray.get(mailbox.answer.remote(number, outcome))
        number += 1


def _tell(mailbox: Any, incident: str) -> None:
    ray.get(mailbox.report.remote(incident), timeout=_TELL_S)


class Trainers:
    """One live trainer at a time: that of the last root."""

    def __init__(self, store: Store) -> None:
        """Begin with none; they will publish to `store`."""
        self._store = store
        self._root = ""
        self._live: Trainer | None = None

    def of(self, job: Job) -> Trainer:
        """Return the trainer of a job's root; that of another root is gone before it is made."""
        if self._live is None or self._root != job.facts.root:
            self.drop()  # both may not fit on the device
            self._live, self._root = _trainer(job, self._store), job.facts.root
        return self._live

    def drop(self) -> None:
        """Let the trainer go."""
        self._live = None


def _trainer(job: Job, store: Store) -> Trainer:
    return Trainer(
        job.spec.build_task(),
        root=job.facts.root,
        seed=job.spec.schedule.seed,
        store=store,
        place=job.facts.place,
    )
