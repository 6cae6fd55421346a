"""Time per trial: a warm slot against the pattern of Ray's own guide.

    python -m benchmarks.warm_slots [--tiny] [--trials 20]

Ours is `thaw.search` as it stands: Optuna on SQLite, the slot with `reuse_actors`, the store, the
tables. Theirs is Ray's user guide "Hyperparameter Tuning with Ray Tune": a Tune function
`train_driver_fn` that builds a `TorchTrainer`, reports through `TuneReportCallback` and calls
`fit()`.

Equal on both sides: machine, Ray instance and its environment, `Tuner`, one trial at a time, one
worker with one CPU and one torch thread, model, images, learning rates, seed, optimizer steps,
evaluation, and the state that is written after each segment. The training code is the same too,
so that the accuracies must agree to the last bit; the benchmark fails where they do not.
Not equal: theirs draws no values and keeps no database, starts when the files are in the page
cache, and its workers are asked for reports every 0.5 s (as for ours) where Ray's default is 2 s.
Ours starts in an empty store, so that every segment is trained. The start of ours is in its first
trial, and its end in neither number but in the total.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import ray.train
import ray.tune
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback
from rich.console import Console

from benchmarks._report import report
from search_spaces.dimensions import Ask, Real
from search_spaces.study import Study
from thaw.cluster import connected
from thaw.search import Options, search
from trainables.spec import TrialSpec
from training.schedule import Schedule, Stage
from training.settings import Place
from training.store import Store
from training.trainer import Trainer
from training.walk import walk

_EPOCHS = 2
_HUNG_S = 120
"""A trial of theirs that takes longer hangs: `TuneReportCallback` can wait for Tune for ever."""


@dataclass
class Run:
    """One side's wall-clock: when it began, when each trial ended, when all was over."""

    began_s: float
    ended_s: list[float] = field(default_factory=list)
    over_s: float = 0.0
    accuracies: list[float] = field(default_factory=list)

    @property
    def first_trial_s(self) -> float:
        """Return the seconds from the beginning to the end of the first trial."""
        return self.ended_s[0] - self.began_s

    @property
    def s_per_trial(self) -> float:
        """Return seconds per trial after the first."""
        return (self.ended_s[-1] - self.ended_s[0]) / (len(self.ended_s) - 1)


class _HungError(BaseException):
    """No exception that Tune would take for a trial's own."""


class _Clock(ray.tune.Callback):
    """Notes when trials end, and raises `_HungError` when one does not."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._run.ended_s.append(time.time())
        signal.alarm(_HUNG_S)


def schedule_of(lr: float, seed: int = 0) -> Schedule:
    """Return two epochs of eight steps on the embedded digits."""
    return Schedule(seed=seed, stages=(Stage(name="all", epochs=_EPOCHS, lr=lr),))


def run_ours(num_trials: int, folder: Path) -> tuple[Run, list[float]]:
    """Search with warm slots; return the times and the learning rates that were tried."""
    rate = Real(name="lr", low=1e-4, high=1e-2, log=True)
    study = Study(
        name="warm_slots",
        question="How long does a trial take beside its training?",
        system="classifier",
        dimensions=(rate,),
        space=lambda ask, config, seed: schedule_of(_ask(ask, rate), seed),
        max_epochs=_EPOCHS,
        grace_epochs=1,
    )
    options = Options(
        trials=num_trials,
        seed=0,
        out=str(folder / "ours"),
        store=str(folder / "store"),
        scheduler="none",
        gpus_per_trial=0,
        max_concurrent=1,
    )
    run = Run(time.time())
    table = search(study, {}, {}, options, Console(quiet=True))
    run.over_s = time.time()
    told = optuna.load_study(
        study_name=study.name, storage=f"sqlite:///{folder / 'ours' / 'optuna.db'}"
    )
    run.ended_s = [
        trial.datetime_complete.timestamp() for trial in told.trials if trial.datetime_complete
    ]
    rows = list(table.rows.values())
    trained = [row.segments_trained for row in rows]
    if trained != [_EPOCHS] * num_trials:
        raise SystemExit(f"warm_slots: not every segment was trained: {trained} per trial")
    run.accuracies = [row.last for row in rows]
    return run, [row.values["lr"] for row in rows]


def run_theirs(lrs: Sequence[float], folder: Path) -> tuple[Run, bool]:
    """Run Ray's documented pattern over `lrs`; return the times, and whether it hung."""
    run = Run(time.time())
    tuner = ray.tune.Tuner(
        train_driver_fn,
        param_space={
            "num_workers": 1,
            "storage_path": str(folder / "train"),
            "train_loop_config": {"lr": ray.tune.grid_search(list(lrs))},
        },
        tune_config=ray.tune.TuneConfig(max_concurrent_trials=1),
        run_config=ray.tune.RunConfig(
            name="tune", storage_path=str(folder), callbacks=[_Clock(run)], verbose=0
        ),
    )
    signal.signal(signal.SIGALRM, _raise_hung)
    signal.alarm(_HUNG_S)
    try:
        results = tuner.fit()
    except _HungError:
        run.over_s = time.time()
        return run, True
    finally:
        signal.alarm(0)
    run.over_s = time.time()
    if results.errors:
        raise SystemExit(f"warm_slots: a trial of Ray's pattern failed: {results.errors[0]}")
    metrics = [results[number].metrics or {} for number in range(len(results))]
    run.accuracies = [found["val_accuracy"] for found in metrics]
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
        ),
    )
    trainer.fit()


def train_fn_per_worker(train_loop_config: dict[str, Any]) -> None:
    """Train with our core and report each epoch with a checkpoint."""
    spec = TrialSpec(system="classifier", schedule=schedule_of(train_loop_config["lr"]))
    place = Place()
    facts = spec.facts(place)
    task = spec.build_task()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        trainer = Trainer(task, root=facts.root, seed=0, store=store, place=place)
        for visit in walk(spec.schedule, facts, store, trainer.train):
            ray.train.report(
                visit.record.metrics, checkpoint=ray.train.Checkpoint.from_directory(folder)
            )


def main() -> None:
    """Run both sides and report."""
    parser = argparse.ArgumentParser(prog="benchmarks.warm_slots", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="2 trials of theirs, 4 of ours")
    parser.add_argument("--trials", type=int, default=20, help="number of trials, at least 2")
    arguments = parser.parse_args()
    num_ours, num_theirs = (4, 2) if arguments.tiny else (max(2, arguments.trials),) * 2
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name, connected(None):
        ours, lrs = run_ours(num_ours, Path(name))
        theirs, hung = run_theirs(lrs[:num_theirs], Path(name))
    if hung:
        print(
            f"Ray's pattern hung: no trial ended within {_HUNG_S} s after number "
            f"{len(theirs.ended_s)} of {num_theirs}; the times are those of the trials before it"
        )
    if len(theirs.ended_s) < 2:
        raise SystemExit("warm_slots: Ray's pattern ended fewer than two trials")
    if not hung and theirs.accuracies != ours.accuracies[:num_theirs]:
        raise SystemExit(
            "warm_slots: both sides must train alike, but the accuracies are "
            f"{ours.accuracies[:num_theirs]} and {theirs.accuracies}"
        )
    report(
        "warm_slots",
        {
            "ratio": theirs.s_per_trial / ours.s_per_trial,
            "s_per_trial_ours": ours.s_per_trial,
            "s_per_trial_ray": theirs.s_per_trial,
            "first_trial_s_ours": ours.first_trial_s,
            "first_trial_s_ray": theirs.first_trial_s,
            "total_s_ours": ours.over_s - ours.began_s,
            "total_s_ray": theirs.over_s - theirs.began_s,
            "trials": len(ours.ended_s),
            "trials_ray": len(theirs.ended_s),
        },
        {"ratio": (">=", 10.0)},
    )


def _ask(ask: Ask, rate: Real) -> float:
    value: float = ask(rate)
    return value


def _raise_hung(signum: int, frame: Any) -> None:
    raise _HungError


if __name__ == "__main__":
    main()
