"""What frozen parts cost: step time and peak memory of head-only, partial and full training.

    python -m benchmarks.frozen_parts [--tiny] [--model resnet18] [--size 96] [--batch 32]

Each side is the training core with the same model, images and optimizer; only the table of frozen
layer groups differs: all but the head, all but head and last block, none. `forward` is one forward
pass in evaluation mode without gradients, the least that a frozen backbone can cost.

Time: the sides take turns in one process on one torch thread, and a ratio is the median over rounds
of the ratio within a round. Memory, on the CPU: bytes of tensors that live at the fullest moment of
an epoch of two steps, as torch's profiler saw them allocated and freed, above the weights and the
images, which every side needs; each in a process of its own, whose peak of resident memory is shown
beside it. On a GPU: `torch.cuda.max_memory_allocated` above the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from benchmarks._memory import peak_mb
from benchmarks._report import report
from training.classification import Classification, ClassifierConfig
from training.live import Live
from training.randomness import generator
from training.schedule import Schedule, Stage
from training.segment import train_segment
from training.settings import Place, Settings
from training.task import facts_of

_DATA, _STEPS = "source", 2
_MB = 2**20


def main() -> None:
    """Measure the sides by turns and report."""
    arguments = _arguments()
    rounds = 2 if arguments.tiny else arguments.rounds
    if arguments.only:
        print(json.dumps(memory_of(arguments, arguments.only)))
        return
    memory = {side: memory_in_a_process(arguments, side) for side in SIDES}
    times = by_turns(arguments, rounds)
    ratios = {
        side: median(a / b for a, b in zip(times[side], times["full"], strict=True))
        for side in times
    }
    head_over_forward = median(a / b for a, b in zip(times["head"], times["forward"], strict=True))
    _show(times, ratios, memory)
    report(
        "frozen_parts",
        {
            "head_time": ratios["head"],
            "partial_time": ratios["partial"],
            "head_memory": memory["head"]["peak_mb"] / memory["full"]["peak_mb"],
            "partial_memory": memory["partial"]["peak_mb"] / memory["full"]["peak_mb"],
            "head_time_over_forward": head_over_forward,
            "full_ms_per_step": 1e3 * median(times["full"]),
            "full_peak_mb": memory["full"]["peak_mb"],
            "rounds": rounds,
            "batch": arguments.batch,
            "size_px": arguments.size,
        },
        {
            "head_time": ("<=", 0.45),
            "partial_time": ("<=", 0.7),
            "head_memory": ("<=", 0.25),
            "partial_memory": ("<=", 0.6),
            "head_time_over_forward": ("<=", 1.15),
        },
    )


def tables(task: Classification) -> dict[str, dict[str, float | str]]:
    """Return side -> layer groups, whatever the model's blocks are called."""
    *_, last, head = task.layers()["model"]
    return {
        "head": {head: 1.0, "*": "frozen"},
        "partial": {head: 1.0, last: 1.0, "*": "frozen"},
        "full": {"*": 1.0},
    }


SIDES = ("head", "partial", "full")


def side_of(task: Classification, name: str, batch: int, device: str) -> tuple[Live, Settings]:
    """Return a live state ready for an epoch of two steps, with what an optimizer keeps."""
    share = _STEPS * batch / task.num_train()[_DATA]
    stage = Stage.parse(
        {
            "name": name,
            "epochs": 2,
            "lr": 1e-3,
            "groups": tables(task)[name],
            "batchnorm": "eval_frozen",
            "batch_size": batch,
            "data": _DATA,
            "data_fraction": share,
        }
    )
    facts = facts_of(task, seed=0, place=Place(device=device))
    settings = Schedule(stages=(stage,)).next([], facts)
    assert settings is not None and settings.num_steps == _STEPS
    live = Live(task, 0, device)
    live.prepare(settings)
    return live, replace(settings, fresh_optimizer=False)


def by_turns(arguments: argparse.Namespace, rounds: int) -> dict[str, list[float]]:
    """Return for each side, and for the forward pass alone, the seconds a step of each round."""
    task = task_of(arguments)
    runs: dict[str, Callable[[], object]] = {}
    for name in SIDES:
        live, settings = side_of(task, name, arguments.batch, arguments.device)
        runs[name] = _epoch(live, task, settings)
    runs["forward"] = _forward(live, task, settings)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name in sorted(runs, reverse=bool(turn % 2)):
            _wait(arguments.device)
            began_s = time.perf_counter()
            runs[name]()
            _wait(arguments.device)
            if turn:  # the first round of each is a warm-up
                times[name].append((time.perf_counter() - began_s) / _STEPS)
    return times


def _epoch(live: Live, task: Classification, settings: Settings) -> Callable[[], object]:
    return lambda: train_segment(live, task, settings, seed=0)


def _forward(live: Live, task: Classification, settings: Settings) -> Callable[[], object]:
    """Return a pass over as many images as an epoch has, without gradients."""
    shape = (settings.batch_size, 1, task.config.image_size, task.config.image_size)
    images = torch.randn(
        shape, generator=generator(0, 0, "images", live.device), device=live.device
    )

    @torch.no_grad()
    def run() -> None:
        model = live.evaluated(settings)["model"]
        for _ in range(_STEPS):
            model(images)

    return run


def memory_of(arguments: argparse.Namespace, name: str) -> dict[str, float]:
    """Return the peak of an epoch in MB, above weights and images, and of the whole process."""
    task = task_of(arguments)
    live, settings = side_of(task, name, arguments.batch, arguments.device)
    if arguments.device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train_segment(live, task, settings, seed=0)
        train_segment(live, task, settings, seed=0)
        peak = torch.cuda.max_memory_allocated() - before
    else:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            train_segment(live, task, settings, seed=0)
            train_segment(live, task, settings, seed=0)
        peak = peak_bytes(profiled)
    return {"peak_mb": peak / _MB, "resident_mb": peak_mb()}


def peak_bytes(profiled: profile) -> int:
    """Return the largest sum of what was allocated and not yet freed."""
    found: Any = profiled.profiler
    events = found.kineto_results.events()
    moves = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    level = peak = 0
    for _, num_bytes in moves:
        level += num_bytes
        peak = max(peak, level)
    return peak


def memory_in_a_process(arguments: argparse.Namespace, side: str) -> dict[str, float]:
    """Return what `memory_of` does, from a process of its own."""
    options = {name: getattr(arguments, name) for name in ("model", "size", "batch", "device")}
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.frozen_parts", "--only", side, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"frozen_parts: the process for {side} failed:\n{ended.stderr}")
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _show(
    times: dict[str, list[float]], ratios: dict[str, float], memory: dict[str, dict[str, float]]
) -> None:
    columns = ("training", "ms a step", "of full", "peak MB", "of full", "process MB")
    table = Table(*columns, title="one step", title_justify="left")
    for name in (*SIDES, "forward"):
        cells = [name, f"{1e3 * median(times[name]):.1f}", f"{ratios[name]:.2f}"]
        if name in memory:
            peak, full = memory[name]["peak_mb"], memory["full"]["peak_mb"]
            resident = memory[name]["resident_mb"]
            cells += [f"{peak:.1f}", f"{peak / full:.2f}", f"{resident:.0f}"]
        table.add_row(*cells)
    Console().print(table)


def task_of(arguments: argparse.Namespace) -> Classification:
    """Return digits at the size asked for, on the device, and set torch to one thread."""
    torch.set_num_threads(1)
    task = Classification(ClassifierConfig(model=arguments.model, image_size=arguments.size))
    if _STEPS * arguments.batch > task.num_train()[_DATA]:
        raise SystemExit(f"frozen_parts: --batch: at most {task.num_train()[_DATA] // _STEPS}")
    task.to(arguments.device)
    return task


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.frozen_parts", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="2 rounds of a small model at 32 px")
    parser.add_argument("--model", default="resnet18", help="any timm model")
    parser.add_argument("--size", type=int, default=96, help="side of the images in px")
    parser.add_argument("--batch", type=int, default=32, help="images per step")
    parser.add_argument("--rounds", type=int, default=12, help="rounds of two steps")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device, choices=("cpu", "cuda"))
    parser.add_argument("--only", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if arguments.tiny:
        arguments.model, arguments.size = "test_resnet", 32
    return arguments


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
