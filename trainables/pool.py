"""A warm Ray Train worker group that trains one segment after another.

The workers start once and wait for jobs in a mailbox, so that the next trial finds processes,
imports, data and models in place. A worker that dies is started again by Ray Train and takes up
the job that nobody answered.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import train
from ray._private.state import state as ray_state
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.constants import (
    DEFAULT_WORKER_GROUP_START_TIMEOUT_S,
    WORKER_GROUP_START_TIMEOUT_S_ENV_VAR,
)
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainables.mailbox import Failed, Job, Mailbox, Outcome
from training.record import Record

_POLL_S = 0.5
_STOP_S = 30.0
_UNLIMITED = -1
_START_FAILURES = 3
"""Times that Ray Train may fail to start a group; it waits a minute for room at each."""
_SPARE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What one slot consists of."""

    store: str
    """Path or URL of the store."""
    num_workers: int = 1
    cpus_per_worker: float = 1
    gpus_per_worker: float = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that a node must have, such as {"ray.io/accelerator-type": "H100"}."""
    on_cpu: bool = False
    """Compute on the CPU even where GPUs are reserved."""
    hang_after_s: float = 600.0
    """Seconds without a step after which a worker counts as hung."""


class WorkersLost(RuntimeError):
    """The worker group is gone, and nothing is known against the segment: try it on a new one."""


class Pool:
    """The worker group of one slot, with a lifetime: made, asked for segments, closed."""

    def __init__(self, workers: Workers) -> None:
        """Start the Ray Train run in a thread; jobs may be posted at once."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox: Any = Mailbox.options(  # type: ignore[attr-defined]
            scheduling_strategy=here
        ).remote()
        self._folder = tempfile.mkdtemp(prefix="thaw-train-")
        self._error: BaseException | None = None
        self.usable = True
        """Whether it can be asked for another segment."""
        trainer = _trainer(
            workers,
            train_loop_per_worker=_serve,
            train_loop_config={"mailbox": self._mailbox, "workers": workers},
            scaling_config=train.ScalingConfig(
                num_workers=workers.num_workers,
                use_gpu=workers.gpus_per_worker > 0,
                resources_per_worker=_resources(workers),
                label_selector=dict(workers.labels) or None,  # type: ignore[call-arg]
            ),
            run_config=train.RunConfig(
                name="slot",
                storage_path=self._folder,
                failure_config=train.FailureConfig(
                    max_failures=_UNLIMITED,  # the mailbox counts them, by segment
                    controller_failure_limit=_START_FAILURES,  # type: ignore[call-arg]
                ),
            ),
        )
        self._thread = threading.Thread(target=self._run, args=(trainer,), daemon=True)
        self._thread.start()

    def train(self, job: Job) -> Record:
        """Do a job on the workers; raise where they cannot.

        Raises `WorkersLost` where the group is gone for no fault of the segment.
        """
        posted_s = time.monotonic()
        number = ray.get(self._mailbox.post.remote(job))
        if number is None:
            raise WorkersLost("the training workers went for want of work")
        answer = self._mailbox.outcome.remote(number)
        while not ray.wait([answer], timeout=_POLL_S)[0]:
            if not self._thread.is_alive():
                raise self._lost()
            if time.monotonic() - posted_s > _longest_start_s():
                self._check_start()
        outcome: Outcome = ray.get(answer)
        if isinstance(outcome, Failed):
            self.usable = not outcome.deadly
            raise RuntimeError(outcome.because)
        return outcome

    def over(self) -> bool:
        """Tell whether the workers went for want of work."""
        return bool(ray.get(self._mailbox.over.remote()))

    def must_move(self) -> bool:
        """Tell whether a node it works on is to go soon, as spot machines say beforehand.

        Such a node gets no new workers: a group that starts now starts elsewhere.
        """
        leaving = ray_state.get_draining_nodes()  # Ray has no public way to ask
        return bool(leaving) and not leaving.keys().isdisjoint(
            ray.get(self._mailbox.nodes.remote())
        )

    def incidents(self) -> list[str]:
        """Return what happened to workers since the last call."""
        found: list[str] = ray.get(self._mailbox.incidents.remote())
        return found

    def close(self) -> None:
        """End the run and wait for it, so that Ray Train frees what it holds."""
        ray.get(self._mailbox.end.remote())
        self._thread.join(_STOP_S)
        ray.kill(self._mailbox)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check_start(self) -> None:
        """Raise where no worker ever came: only with its slot does such a group go away."""
        if not ray.get(self._mailbox.nodes.remote()):
            self.usable = False
            raise RuntimeError(
                f"no training worker came within {_longest_start_s():.0f} s: Ray Train hangs"
            )

    def _lost(self) -> RuntimeError:
        """Return why the workers are gone: what fails at every start is no loss."""
        because = f"the training workers ended: {self._error}"
        failure = getattr(self._error, "controller_failure", None)
        if isinstance(failure, WorkerGroupStartupFailedError):
            self.usable = False
            return RuntimeError(f"{because}: {failure}")
        return WorkersLost(because)

    def _run(self, trainer: DataParallelTrainer) -> None:
        try:
            trainer.fit()
        except BaseException as error:  # kept for whoever waits for an answer
            self._error = error


def _longest_start_s() -> float:
    """Return seconds within which Ray Train has started a group, or has given up all its tries."""
    one = os.environ.get(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR, DEFAULT_WORKER_GROUP_START_TIMEOUT_S)
    return (_START_FAILURES + 1) * float(one) + _SPARE_S


def _serve(config: dict[str, Any]) -> None:
    """What each Ray Train worker runs; the slot and Ray's controller import no torch for it."""
    from trainables.worker import serve

    serve(config["mailbox"], config["workers"])


def _trainer(workers: Workers, **arguments: Any) -> DataParallelTrainer:
    """Return Ray Train's trainer, without the process that hands out Ray Data: there is none.

    Several workers have torch's process group; one needs none.
    """
    trainer: DataParallelTrainer
    if workers.num_workers == 1:
        trainer = DataParallelTrainer(**arguments)
    else:
        from ray.train.torch import TorchConfig
        from ray.train.v2.torch.torch_trainer import TorchTrainer

        config = TorchConfig(backend="gloo") if workers.on_cpu else None
        trainer = TorchTrainer(torch_config=config, **arguments)
    usual = trainer._create_default_callbacks
    trainer._create_default_callbacks = lambda: [  # type: ignore[method-assign]
        callback for callback in usual() if not isinstance(callback, DatasetsCallback)
    ]
    return trainer


def _resources(workers: Workers) -> dict[str, float]:
    resources = {"CPU": workers.cpus_per_worker}
    return resources | ({"GPU": workers.gpus_per_worker} if workers.gpus_per_worker else {})
