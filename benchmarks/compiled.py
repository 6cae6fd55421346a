"""Time per trial in a warm slot, with and without compilation.

    python -m benchmarks.compiled [--tiny] [--model resnet18] [--size 64] [--trials 5] [--keep]

A trial is a head-only stage and a stage of all layers on the embedded digits; trials differ in
their learning rates, so that each is trained whole. Two warm trainers of one process take turns:
`plain`, and `compiled` with `torch.compile` for every stage. Equal on both sides: model, images,
order, steps, threads, store and what is saved.

`first_*_s` is the first trial, which compiles (into an empty cache on the disk); `next_*_s` the
median of those after it, which compile nothing: models keep their modules from trial to trial
(`training.shape`). `next_compiled_over_plain` is the median over trials of the ratio, and
`pays_after` the number of trials from which compiling was worth its first one; 0 is never.

Without a C++ compiler torch compiles nothing on the CPU: then nothing is measured, and it says so.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from statistics import median

import torch
from rich.console import Console

from benchmarks._keep import keep
from benchmarks._report import report
from training.classification import Classification, ClassifierConfig
from training.schedule import Schedule, Stage
from training.settings import Compute, Place
from training.store import Store
from training.task import facts_of
from training.trainer import Trainer
from training.walk import walk

_HEAD = {"head": 1.0, "*": "frozen"}
_COMPILERS = ("c++", "g++", "clang++")


class Slot:
    """A warm trainer, which trains one trial after the other."""

    def __init__(self, task: Classification, place: Place, store: Store, *, compile: bool) -> None:
        self._facts = facts_of(task, seed=0, place=place)
        self._store = store
        self._compute = Compute(compile=compile)
        self._trainer = Trainer(task, root=self._facts.root, seed=0, store=store, place=place)

    def seconds(self, lr: float, *, tiny: bool) -> float:
        """Train a trial with an LR of its own, if `tiny` its head alone; return what it took."""
        shared = {"lr": lr, "data": "source", "data_fraction": 0.1 if tiny else 1.0}
        stages = (
            Stage.parse({"name": "head", "epochs": 2, "groups": _HEAD, **shared}),
            Stage.parse({"name": "full", "epochs": 2, **shared}),
        )
        plan = Schedule(stages=stages[: 1 if tiny else 2], compute=self._compute)
        began_s = time.perf_counter()
        for visit in walk(plan, self._facts, self._store, self._trainer.train):
            assert not visit.reused, "trials must not share a segment"
        return time.perf_counter() - began_s


def figures_of(plain: Sequence[float], compiled: Sequence[float]) -> dict[str, float]:
    """Return the figures of the seconds of each trial on both sides."""
    ratios = [a / b for a, b in zip(compiled[1:], plain[1:], strict=True)]
    next_plain_s, next_compiled_s = median(plain[1:]), median(compiled[1:])
    gain_s, price_s = next_plain_s - next_compiled_s, compiled[0] - plain[0]
    return {
        "first_plain_s": plain[0],
        "first_compiled_s": compiled[0],
        "next_plain_s": next_plain_s,
        "next_compiled_s": next_compiled_s,
        "next_compiled_over_plain": median(ratios),
        "next_over_first_compiled": next_compiled_s / compiled[0],
        "pays_after": max(0, math.ceil(price_s / gain_s)) + 1.0 if gain_s > 0 else 0.0,
        "trials": len(plain),
    }


def main() -> None:
    """Measure both sides by turns and report."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.compiled",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="a tiny model, two trials")
    parser.add_argument("--model", default="resnet18", help="any timm model")
    parser.add_argument("--size", type=int, default=64, help="side of the images in px")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.model, arguments.size, arguments.trials = "test_resnet", 32, 2
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not any(map(shutil.which, _COMPILERS)):
        Console().print("compiled: SKIPPED: torch.compile needs a C++ compiler on the CPU")
        report("compiled", {"skipped": 1.0}, {})
        return
    task = Classification(ClassifierConfig(model=arguments.model, image_size=arguments.size))
    place = Place(device=device, num_threads=torch.get_num_threads())
    with tempfile.TemporaryDirectory(prefix="thaw-compiled-") as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/compiled"
        store = Store(f"{folder}/store")
        if device == "cuda":  # a process loads its kernels once
            Slot(task, place, store, compile=False).seconds(9e-4, tiny=arguments.tiny)
        slots = [Slot(task, place, store, compile=each) for each in (False, True)]
        spent: tuple[list[float], list[float]] = ([], [])
        for trial in range(arguments.trials):
            lr = 1e-3 * (1 + trial / 100)
            for slot, seconds in zip(slots, spent, strict=True):
                seconds.append(slot.seconds(lr, tiny=arguments.tiny))
    figures = figures_of(*spent) | {"size_px": arguments.size}
    title = f"compiled-{arguments.model}-{arguments.size}"
    goals = {} if arguments.tiny else {"next_over_first_compiled": ("<=", 0.5)}
    report(title, figures, goals)
    if arguments.keep:
        keep(title, figures)


if __name__ == "__main__":
    main()
