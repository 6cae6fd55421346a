"""The pattern of Ray's user guide "Hyperparameter Tuning with Ray Tune", as a side of benchmarks.

A Tune function `train_driver_fn` builds a `TorchTrainer`, reports through `TuneReportCallback` and
calls `fit()`; one worker with one CPU trains a whole schedule from nothing with our core, and
writes the state after each segment as its checkpoint.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray.train
import ray.tune
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from trainables.spec import TrialSpec
from training.settings import Place
from training.store import Store
from training.trainer import Trainer
from training.walk import walk

HUNG_S = 600
"""A trial that takes longer hangs: `TuneReportCallback` can wait for Tune for ever."""
_MEMORY_BYTES = 400 * 2**20


@dataclass
class Run:
    """One side's wall-clock: when it began, when each trial ended, when all was over."""

    began_s: float
    ended_s: list[float] = field(default_factory=list)
    over_s: float = 0.0
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Number of the trial -> its last result."""

    @property
    def first_trial_s(self) -> float:
        """Return the seconds from the beginning to the end of the first trial."""
        return self.ended_s[0] - self.began_s

    @property
    def s_per_trial(self) -> float:
        """Return seconds per trial after the first."""
        return (self.ended_s[-1] - self.ended_s[0]) / (len(self.ended_s) - 1)

    @property
    def wall_s(self) -> float:
        """Return the seconds from the beginning to the end of all."""
        return self.over_s - self.began_s


class _HungError(BaseException):
    """No exception that Tune would take for a trial's own."""


class _Clock(ray.tune.Callback):
    """Notes when and how trials end, and raises `_HungError` when none does."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._run.ended_s.append(time.time())
        self._run.results[trial.config["train_loop_config"]["number"]] = dict(trial.last_result)
        signal.alarm(HUNG_S)


def run_pattern(specs: Sequence[TrialSpec], folder: Path, *, num_slots: int) -> tuple[Run, bool]:
    """Train `specs`, `num_slots` at a time; return the times and results, and whether it hung."""
    (folder / "specs").mkdir()
    for number, spec in enumerate(specs):
        _file(folder, number).write_text(spec.yaml(), encoding="utf-8")
    run = Run(time.time())
    resources = ray.tune.PlacementGroupFactory([{"memory": _MEMORY_BYTES}])
    tuner = ray.tune.Tuner(
        ray.tune.with_resources(train_driver_fn, resources),
        param_space={
            "num_workers": 1,
            "storage_path": str(folder / "train"),
            "train_loop_config": {
                "folder": str(folder),
                "number": ray.tune.grid_search(list(range(len(specs)))),
            },
        },
        tune_config=ray.tune.TuneConfig(max_concurrent_trials=num_slots),
        run_config=ray.tune.RunConfig(
            name="tune", storage_path=str(folder), callbacks=[_Clock(run)], verbose=0
        ),
    )
    signal.signal(signal.SIGALRM, _raise_hung)
    signal.alarm(HUNG_S)
    try:
        results = tuner.fit()
    except (_HungError, SystemError) as error:  # compiled code passes it on as a SystemError
        if not isinstance(error, _HungError) and not isinstance(error.__cause__, _HungError):
            raise
        run.over_s = run.ended_s[-1] if run.ended_s else time.time()
        return run, True
    finally:
        signal.alarm(0)
    run.over_s = time.time()
    if results.errors:
        raise SystemExit(f"a trial of Ray's pattern failed: {results.errors[0]}")
    return run, False


def train_driver_fn(config: dict[str, Any]) -> None:
    """Launch a Ray Train run in a Tune trial, as in Ray's guide."""
    trainer = TorchTrainer(
        train_fn_per_worker,
        train_loop_config=config["train_loop_config"],
        scaling_config=ray.train.ScalingConfig(num_workers=config["num_workers"]),
        run_config=ray.train.RunConfig(
            name=f"train-trial_id={ray.tune.get_context().get_trial_id()}",
            storage_path=config["storage_path"],
            callbacks=[TuneReportCallback()],  # type: ignore[list-item]
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
        ),
    )
    trainer.fit()


def train_fn_per_worker(train_loop_config: dict[str, Any]) -> None:
    """Train with our core and report each epoch with a checkpoint."""
    spec = TrialSpec.read(
        str(_file(Path(train_loop_config["folder"]), train_loop_config["number"]))
    )
    place = Place()
    facts = spec.facts(place)
    task = spec.build_task()
    device_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        trainer = Trainer(task, root=facts.root, seed=spec.schedule.seed, store=store, place=place)
        for visit in walk(spec.schedule, facts, store, trainer.train):
            device_s += visit.record.device_s
            extra = {"segments": visit.record.index + 1, "device_s": device_s}
            ray.train.report(
                visit.record.metrics | extra,
                checkpoint=ray.train.Checkpoint.from_directory(folder),
            )
            for written in Path(folder).iterdir():  # each checkpoint holds its own state alone
                shutil.rmtree(written)


def _file(folder: Path, number: int) -> Path:
    return folder / "specs" / f"{number:04}.yaml"


def _raise_hung(signum: int, frame: Any) -> None:
    raise _HungError
