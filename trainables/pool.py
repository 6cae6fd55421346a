"""A warm Ray Train worker group that trains one segment after another.

The workers start once and wait for jobs in a mailbox, so that the next trial finds processes,
imports, data and models in place. A worker that dies is started again by Ray Train and takes up
the job that nobody answered.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import train
from ray.train.torch import TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainables.spec import TrialSpec
from training.record import Record
from training.schedule import Facts
from training.segment import world_rank
from training.store import Store
from training.trainer import Step, Trainer

_POLL_S = 0.5
_STOP_S = 30.0
_MAX_FAILURES = 3


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What one slot consists of."""

    store: str
    """Path or URL of the store."""
    num_workers: int = 1
    cpus_per_worker: float = 1
    gpus_per_worker: float = 0


@dataclass(frozen=True)
class Job:
    """One segment to train: the last of `path`, which leads from the root."""

    spec: TrialSpec
    facts: Facts
    path: tuple[Step, ...]


@ray.remote(num_cpus=0)
class Mailbox:
    """Numbered jobs and their answers; a job stays until it is answered."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job | None] = {}
        self._answers: dict[int, Record | str] = {}
        self._posted = 0
        self._answered = 0
        self._changed = asyncio.Condition()

    async def post(self, job: Job | None) -> int:
        """Put a job in, None for the end of work; return its number."""
        async with self._changed:
            number, self._posted = self._posted, self._posted + 1
            self._jobs[number] = job
            self._changed.notify_all()
        return number

    async def first_open(self) -> int:
        """Return the number of the first job without an answer, posted or not."""
        return self._answered

    async def take(self, number: int) -> Job | None:
        """Wait for a job."""
        async with self._changed:
            await self._changed.wait_for(lambda: number in self._jobs)
            return self._jobs[number]

    async def answer(self, number: int, outcome: Record | str) -> None:
        """Answer a job with the record, or with what went wrong."""
        async with self._changed:
            self._jobs.pop(number, None)
            self._answers[number] = outcome
            self._answered = number + 1
            self._changed.notify_all()

    async def outcome(self, number: int) -> Record | str:
        """Wait for the answer to a job; it is handed out once."""
        async with self._changed:
            await self._changed.wait_for(lambda: number in self._answers)
            return self._answers.pop(number)


class Pool:
    """The worker group of one slot, with a lifetime: made, asked for segments, closed."""

    def __init__(self, workers: Workers) -> None:
        """Start the Ray Train run in a thread; jobs may be posted at once."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # Beside its slot: elsewhere it would be lost with a node that the slot outlives.
        self._mailbox: Any = Mailbox.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]
        self._folder = tempfile.mkdtemp(prefix="thaw-train-")
        self._error: BaseException | None = None
        trainer = TorchTrainer(
            _serve,
            train_loop_config={"mailbox": self._mailbox, "store": workers.store},
            scaling_config=train.ScalingConfig(
                num_workers=workers.num_workers,
                use_gpu=workers.gpus_per_worker > 0,
                resources_per_worker=_resources(workers),
            ),
            run_config=train.RunConfig(
                name="slot",
                storage_path=self._folder,
                failure_config=train.FailureConfig(
                    max_failures=_MAX_FAILURES,
                    controller_failure_limit=_MAX_FAILURES,  # type: ignore[call-arg]
                ),
            ),
        )
        self._thread = threading.Thread(target=self._run, args=(trainer,), daemon=True)
        self._thread.start()

    def train(self, spec: TrialSpec, facts: Facts, path: Sequence[Step]) -> Record:
        """Train the last segment of `path` on the workers; raise where they cannot."""
        number = ray.get(self._mailbox.post.remote(Job(spec, facts, tuple(path))))
        answer = self._mailbox.outcome.remote(number)
        while not ray.wait([answer], timeout=_POLL_S)[0]:
            if not self._thread.is_alive():
                raise RuntimeError(f"the training workers ended: {self._error}")
        outcome = ray.get(answer)
        if isinstance(outcome, str):
            raise RuntimeError(outcome)
        return outcome  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the run and wait for it, so that Ray Train frees what it holds."""
        ray.get(self._mailbox.post.remote(None))
        self._thread.join(_STOP_S)
        ray.kill(self._mailbox)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except BaseException as error:  # kept for whoever waits for an answer
            self._error = error


def _serve(config: dict[str, Any]) -> None:
    """Work through the mailbox until the end of work: what each Ray Train worker runs."""
    mailbox, store = config["mailbox"], Store(config["store"])
    number = ray.get(mailbox.first_open.remote())
    trainer: Trainer | None = None
    root = ""
    while (job := ray.get(mailbox.take.remote(number))) is not None:
        try:
            if trainer is None or root != job.facts.root:
                trainer, root = _trainer(job, store), job.facts.root
            outcome: Record | str = trainer.train(job.path)
        except Exception as error:
            if job.facts.place.world_size > 1:
                raise  # the other ranks wait in a collective: Ray Train must restart them all
            trainer = None
            outcome = f"{type(error).__name__}: {error}"
        if world_rank() == 0:
            ray.get(mailbox.answer.remote(number, outcome))
        number += 1


def _trainer(job: Job, store: Store) -> Trainer:
    return Trainer(
        job.spec.build_task(),
        root=job.facts.root,
        seed=job.spec.schedule.seed,
        store=store,
        place=job.facts.place,
    )


def _resources(workers: Workers) -> dict[str, float]:
    resources = {"CPU": workers.cpus_per_worker}
    return resources | ({"GPU": workers.gpus_per_worker} if workers.gpus_per_worker else {})
