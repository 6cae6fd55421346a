"""Trials that train only the head: fused in one pass, one after another, and in two processes.

    python -m benchmarks.fused [--tiny] [--trials 8] [--rounds 2] [--keep]

N trials go on from one stored state and train the classifier of a frozen backbone on randomly
shifted images, so that no features can be kept from epoch to epoch; their learning rates are spread
over four decades, and their weight decays differ. One process trains them `fused` in one pass
(`Trainer.train_fused`) or in `sequence`. In `parallel`, two processes, as two slots would be, train
half of them each, one after another; in `fused_parallel` each of the two fuses its half.

Equal on all sides: machine, one torch thread in each process, device, model, images, settings and
so keys, the state that they begin with, evaluation, and the states and records that are published
to a local store after each epoch. Processes are started, models built and the first state trained
before the clock runs. The metrics must agree, on the CPU to the last bit, on a GPU to 0.01. The
sides take turns, the first of which is not counted; a ratio is the median over rounds of the ratio
within a round. `fused_over_sequence` compares one process with one. `fused_over_parallel` compares
equal hardware: on the CPU `fused_parallel` with `parallel`, which have two cores each, and on a
GPU, which both have whole, `fused` with `parallel`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import torch

from benchmarks._report import report
from training.classification import Classification, ClassifierConfig
from training.keys import Step, child_key
from training.optimizers import AdamW
from training.record import Record
from training.schedule import Schedule, Stage
from training.settings import Augment, Place
from training.store import Store
from training.task import facts_of
from training.trainer import Trainer
from training.walk import UNKNOWN

_DATA, _BATCH, _EPOCHS, _SLOTS = "source", 32, 2, 2
_LRS = (1e-4, 1.0)
_ROUNDING = 0.01
"""Largest difference of a metric on a GPU, where sums have no fixed order."""
_SIDES = ("fused", "sequence", "fused_parallel", "parallel")
Metrics = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained, and where by each process."""

    model: str
    size: int
    """Side of the images in px."""
    steps: int
    """Optimizer steps of an epoch."""
    num_trials: int
    place: Place


def main() -> None:
    """Measure the sides by turns and report."""
    arguments = _arguments()
    figures: dict[str, float] = {}
    for model, size, steps in _cases(arguments.tiny):
        case = Case(
            model=model,
            size=size,
            steps=steps,
            num_trials=arguments.trials,
            place=Place(device=arguments.device),
        )
        found = measure(case, arguments.rounds)
        figures |= {f"{model}_{name}": value for name, value in found.items()}
    figures |= {
        "trials": arguments.trials,
        "slots": _SLOTS,
        "rounds": arguments.rounds,
        "epochs": _EPOCHS,
        "batch": _BATCH,
    }
    if arguments.keep:
        from benchmarks._keep import keep

        keep("fused", figures, device=arguments.device)
    report("fused", figures, _targets(figures, arguments.device))


def measure(case: Case, rounds: int) -> dict[str, float]:
    """Return trials per hour of each side, their ratios and the differences of the metrics."""
    times: dict[str, list[float]] = {name: [] for name in _SIDES}
    metrics: dict[str, Metrics] = {}
    with tempfile.TemporaryDirectory() as folder:
        here, slots = Worker(case, Path(folder)), Slots(case)
        everything = range(case.num_trials)
        runs = {
            "fused": lambda: here.train_fused(everything),
            "sequence": lambda: here.train(everything),
            "fused_parallel": lambda: slots.train(everything, fused=True),
            "parallel": lambda: slots.train(everything, fused=False),
        }
        for turn in range(rounds + 1):
            for name in sorted(runs, reverse=bool(turn % 2)):
                started = time.perf_counter()
                metrics[name] = runs[name]()
                if turn:  # the first one loads kernels and takes memory
                    times[name].append(time.perf_counter() - started)
        slots.close()
    on_equal_hardware = "fused_parallel" if case.place.device == "cpu" else "fused"
    return {
        **{f"{name}_trials_per_hour": _per_hour(case, median(times[name])) for name in _SIDES},
        "fused_over_sequence": _ratio(times["sequence"], times["fused"]),
        "fused_over_parallel": _ratio(times["parallel"], times[on_equal_hardware]),
        "difference": max(
            largest_difference(metrics[name], metrics["sequence"]) for name in _SIDES
        ),
    }


class Worker:
    """A process that trains: a warm trainer whose store holds the state that all begin with."""

    def __init__(self, case: Case, folder: Path) -> None:
        """Build the model and train the first state."""
        config = ClassifierConfig(model=case.model, image_size=case.size)
        task = Classification(config)
        facts = facts_of(task, seed=0, place=case.place)
        self._paths = [_path(plan, facts.root, task, case.place) for plan in plans(case, task)]
        store = Store(str(folder))
        self._trainer = Trainer(task, root=facts.root, seed=0, store=store, place=case.place)
        self._trainer.train(self._paths[0][:1])

    def train(self, numbers: Sequence[int]) -> Metrics:
        """Train the trials `numbers` one after another; return the last metrics of each."""
        return [self._alone(self._paths[number]).metrics for number in numbers]

    def train_fused(self, numbers: Sequence[int]) -> Metrics:
        """Train the trials `numbers` in one pass for each epoch."""
        for num in range(_EPOCHS):
            paths = [self._paths[number][: num + 2] for number in numbers]
            records = self._trainer.train_fused(paths)
        return [record.metrics for record in records]

    def _alone(self, path: Sequence[Step]) -> Record:
        for num in range(_EPOCHS):
            record = self._trainer.train(path[: num + 2])
        return record


class Slots:
    """Processes that train side by side."""

    def __init__(self, case: Case) -> None:
        """Start them, and wait until they have the first state."""
        spawn = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for _ in range(_SLOTS):
            mine, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(case, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(mine)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def train(self, numbers: Sequence[int], *, fused: bool) -> Metrics:
        """Train the trials `numbers`, each process its share of them, in one pass or in turn."""
        for slot, pipe in enumerate(self._pipes):
            pipe.send((list(numbers[slot::_SLOTS]), fused))
        found: dict[int, dict[str, float]] = {}
        for slot, pipe in enumerate(self._pipes):
            found |= zip(numbers[slot::_SLOTS], pipe.recv(), strict=True)
        return [found[number] for number in numbers]

    def close(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()


def _serve(case: Case, pipe: Connection) -> None:
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(case, Path(folder))
        pipe.send(None)
        while (job := pipe.recv()) is not None:
            numbers, fused = job
            pipe.send((worker.train_fused if fused else worker.train)(numbers))


def plans(case: Case, task: Classification) -> list[Schedule]:
    """Return the schedules of all trials: an epoch that they share, and then the head alone."""
    share = case.steps * _BATCH / task.num_train()[_DATA]
    everything = {"data": _DATA, "data_fraction": share, "batch_size": _BATCH}
    *_, head = task.layers()["model"]
    first = Stage.parse({"name": "full", "epochs": 1, "lr": 1e-3, **everything})
    found = []
    for number in range(case.num_trials):
        at = number / max(1, case.num_trials - 1)
        stage = Stage.parse(
            {
                "name": "head",
                "epochs": _EPOCHS,
                "lr": _LRS[0] * (_LRS[1] / _LRS[0]) ** at,
                "groups": {head: 1.0, "*": "frozen"},
                "batchnorm": "eval_frozen",
                "optimizer": AdamW(weight_decay=0.1 * at),
                "augment": Augment(shift=0.1),
                **everything,
            }
        )
        found.append(Schedule(stages=(first, stage)))
    return found


def _path(plan: Schedule, root: str, task: Classification, place: Place) -> list[Step]:
    facts, path = facts_of(task, seed=0, place=place), list[Step]()
    while (settings := plan.next([UNKNOWN] * len(path), facts)) is not None:
        path.append(Step(child_key(path[-1].key if path else root, settings), settings))
    return path


def largest_difference(one: Metrics, other: Metrics) -> float:
    """Return the largest absolute difference of any metric of any trial."""
    return max(
        abs(left[name] - right[name])
        for left, right in zip(one, other, strict=True)
        for name in left
    )


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    return median(a / b for a, b in zip(one, other, strict=True))


def _per_hour(case: Case, seconds: float) -> float:
    return case.num_trials / seconds * 3600


def _targets(figures: Mapping[str, float], device: str) -> dict[str, tuple[str, float]]:
    most = 0.0 if device == "cpu" else _ROUNDING
    return {name: ("<=", most) for name in figures if name.endswith("_difference")}


def _cases(tiny: bool) -> list[tuple[str, int, int]]:
    """Return (model, side in px, steps of an epoch)."""
    return [("test_resnet", 32, 4)] if tiny else [("resnet18", 96, 4), ("test_resnet", 32, 16)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.fused", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="one round of a small model")
    parser.add_argument("--trials", type=int, default=8, help="trials on each side")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each side")
    parser.add_argument("--keep", action="store_true", help="write the figures to the results")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device, choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    if arguments.trials < _SLOTS or arguments.rounds < 1:
        parser.error(f"--trials must be at least {_SLOTS}, --rounds at least 1")
    if arguments.tiny:
        arguments.rounds = 1
    return arguments


if __name__ == "__main__":
    main()
