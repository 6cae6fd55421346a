"""What frozen parts save, against arithmetic; and a head trained on kept features.

    python -m benchmarks.frozen [--tiny] [--keep] [--model resnet50] [--size 224] [--batch 8]

First, an epoch of head-only, partial and full training, as in `benchmarks.frozen_parts`, whose
functions measure here: time by turns, peak memory each in a process of its own. Beside it stands
what arithmetic lets one expect: the floating point operations of the same epoch, as torch's counter
saw them run, and the bytes of what the backward pass must find again (saved tensors), of gradients
and of optimizer state. `head_time_over_flops` 1 means that the time fell as the operations did.

Then a head-only stage on JPEG photographs, with `cache_features` and without. Equal on both sides:
process, one torch thread, device, model, starting weights, images, order, optimizer, batch; an
epoch is training and evaluation, as `Trainer` does them, with its totals read. The sides take
turns; `cached_speedup` is the median over epochs after the first. The first epoch fills the cache:
`first_epoch_over_plain` is what it costs, and `next_trial_over_plain` what the first epoch of a
second trial does, which has other weights in its head and must only hash those of its backbone.
`largest_difference` is that of any metric of any epoch, losses relative to their size.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._keep import keep
from benchmarks._photos import write_photos
from benchmarks._report import report
from benchmarks.frozen_parts import (
    SIDES,
    by_turns,
    memory_in_a_process,
    memory_of,
    side_of,
    tables,
    task_of,
)
from training.classification import Classification, ClassifierConfig
from training.live import Live
from training.schedule import Schedule, Stage
from training.segment import evaluate_segment, read, train_segment
from training.settings import Place, Settings
from training.task import facts_of

_CLASSES = 4
_MB = 2**20
_PER_TRAINABLE = 3
"""Gradient and AdamW's two moments."""


def main() -> None:
    """Measure both parts and report."""
    arguments = _arguments()
    on_cuda = arguments.device == "cuda"
    figures = stage_figures(arguments) | cache_figures(arguments)
    figures |= {"batch": arguments.batch, "size_px": arguments.size, "images": arguments.images}
    targets = {
        "head_time": ("<=", 0.45),
        "head_time_over_flops": ("<=", 1.25),
        "partial_time_over_flops": ("<=", 1.25),
        "full_memory_over_bytes": ("<=", 1.5),
        "cached_speedup": (">=", 20 if on_cuda else 5),
        "largest_difference": ("<=", 1e-3),
    }
    if arguments.tiny:  # a tiny model's time is that of its calls, not of its operations
        times = ("head_time", "head_time_over_flops", "partial_time_over_flops", "cached_speedup")
        targets = {name: goal for name, goal in targets.items() if name not in times}
    if arguments.keep:
        keep("frozen", figures, device=arguments.device)
    report("frozen", figures, targets)


def stage_figures(arguments: argparse.Namespace) -> dict[str, float]:
    """Return time and memory of each side as shares of full training, beside what is expected."""
    expected = {side: arithmetic(arguments, side) for side in SIDES}
    measured = memory_of if arguments.tiny else memory_in_a_process
    memory = {side: measured(arguments, side)["peak_mb"] for side in SIDES}
    times = by_turns(arguments, arguments.rounds)
    ratios = {
        side: median(a / b for a, b in zip(times[side], times["full"], strict=True))
        for side in SIDES
    }
    _show(times, ratios, memory, expected)
    full = expected["full"]
    return {
        **{f"{side}_time": ratios[side] for side in SIDES[:2]},
        **{f"{side}_flops": expected[side].flops / full.flops for side in SIDES[:2]},
        **{
            f"{side}_time_over_flops": ratios[side] * full.flops / expected[side].flops
            for side in SIDES[:2]
        },
        **{f"{side}_memory": memory[side] / memory["full"] for side in SIDES[:2]},
        **{
            f"{side}_memory_over_bytes": memory[side] * _MB / expected[side].num_bytes
            for side in SIDES[1:]  # of a head next to nothing is kept: its peak is the forward's
        },
        "full_ms_per_step": 1e3 * median(times["full"]),
        "full_peak_mb": memory["full"],
    }


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """What an epoch must do and hold at the least."""

    flops: float
    num_bytes: float


def arithmetic(arguments: argparse.Namespace, side: str) -> Arithmetic:
    """Count the operations of an epoch of two steps, and the bytes that one step must hold."""
    task = task_of(arguments)
    live, settings = side_of(task, side, arguments.batch, arguments.device)
    weights = {parameter.data_ptr() for parameter in live.models.parameters()}
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter:
        train_segment(live, task, settings, seed=0)
    one = replace(settings, lrs=settings.lrs[:1])
    with saved_tensors_hooks(note, lambda tensor: tensor):
        train_segment(live, task, one, seed=0)
    trainable = sum(p.nbytes for p in live.models.parameters() if p.requires_grad)
    return Arithmetic(
        flops=float(counter.get_total_flops()),
        num_bytes=float(sum(saved.values()) + _PER_TRAINABLE * trainable),
    )


@dataclass
class Trial:
    """A head-only stage that is under way, with its own models."""

    task: Classification
    epochs: tuple[Settings, ...]
    seed: int = 0
    times_s: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Build the models."""
        self.live = Live(self.task, self.seed, self.epochs[0].place.device)

    def go_on(self) -> None:
        """Train and evaluate the next epoch."""
        settings = self.epochs[len(self.times_s)]
        wait(settings.place.device)
        began_s = time.perf_counter()
        train, _ = read(train_segment(self.live, self.task, settings, self.seed), settings)
        val, _ = read(evaluate_segment(self.live, self.task, settings), settings)
        wait(settings.place.device)
        self.times_s.append(time.perf_counter() - began_s)
        self.metrics.append(self.task.metrics(train, val))


def cache_figures(arguments: argparse.Namespace) -> dict[str, float]:
    """Return what kept features save, and how far the metrics are from those without."""
    with tempfile.TemporaryDirectory(prefix="thaw-frozen-") as name:
        os.environ["THAW_CACHE"] = f"{name}/cache"
        folder = Path(name) / "photos"
        num_val = arguments.images // 4
        write_photos(folder, arguments.images + num_val, num_classes=_CLASSES, num_val=num_val)
        config = ClassifierConfig(
            model=arguments.model, data=str(folder), image_size=arguments.size
        )
        task = Classification(config)
        task.to(arguments.device)
        plain, kept = (Trial(task, settings_of(task, arguments, cached=c)) for c in (False, True))
        for turn in range(arguments.epochs):
            for trial in (plain, kept) if turn % 2 else (kept, plain):
                trial.go_on()
        later = Trial(task, settings_of(task, arguments, cached=True, lr=2e-3))
        later.go_on()
    after_first = [a / b for a, b in zip(plain.times_s[1:], kept.times_s[1:], strict=True)]
    return {
        "cached_speedup": median(after_first),
        "plain_epoch_ms": 1e3 * median(plain.times_s[1:]),
        "cached_epoch_ms": 1e3 * median(kept.times_s[1:]),
        "first_epoch_over_plain": kept.times_s[0] / median(plain.times_s[1:]),
        "next_trial_over_plain": later.times_s[0] / median(plain.times_s[1:]),
        "largest_difference": max(map(difference, kept.metrics, plain.metrics)),
        "epochs": arguments.epochs,
    }


def settings_of(
    task: Classification, arguments: argparse.Namespace, *, cached: bool, lr: float = 1e-3
) -> tuple[Settings, ...]:
    """Return the settings of the epochs of a head-only stage."""
    stage = Stage.parse(
        {
            "name": "head",
            "epochs": arguments.epochs,
            "lr": lr,
            "groups": tables(task)["head"],
            "batchnorm": "eval_frozen",
            "batch_size": arguments.batch,
        }
    )
    plan = Schedule.parse({"stages": (stage,), "compute": {"cache_features": cached}})
    facts = facts_of(task, seed=0, place=Place(device=arguments.device))
    first = plan.next([], facts)
    assert first is not None
    if first.compute.cache_features != cached:
        raise SystemExit(f"frozen: --model {arguments.model}: its features cannot be kept")
    return tuple(
        replace(first, index=index, fresh_optimizer=not index) for index in range(arguments.epochs)
    )


def difference(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the largest difference of metrics; of losses relative to the other's, if above 1."""
    return max(abs(one[name] - other[name]) / max(1.0, abs(other[name])) for name in one)


def wait(device: str) -> None:
    """Wait until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def _show(
    times: dict[str, list[float]],
    ratios: dict[str, float],
    memory: dict[str, float],
    expected: dict[str, Arithmetic],
) -> None:
    columns = ("training", "ms a step", "of full", "GFLOP", "of full", "peak MB", "must hold MB")
    table = Table(*columns, title="one step", title_justify="left")
    for side in SIDES:
        table.add_row(
            side,
            f"{1e3 * median(times[side]):.1f}",
            f"{ratios[side]:.2f}",
            f"{expected[side].flops / 2e9:.2f}",
            f"{expected[side].flops / expected['full'].flops:.2f}",
            f"{memory[side]:.1f}",
            f"{expected[side].num_bytes / _MB:.1f}",
        )
    Console().print(table)


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    few = device == "cpu"
    parser = argparse.ArgumentParser(prog="benchmarks.frozen", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="2 rounds of a small model at 32 px")
    parser.add_argument("--keep", action="store_true", help="keep the figures in results/")
    parser.add_argument("--model", default="resnet50", help="a timm model ending in its classifier")
    parser.add_argument("--size", type=int, default=224, help="side of the images in px")
    parser.add_argument("--batch", type=int, default=8 if few else 64, help="images per step")
    parser.add_argument("--rounds", type=int, default=2 if few else 12, help="rounds of two steps")
    parser.add_argument("--images", type=int, default=64 if few else 2048, help="to train on")
    parser.add_argument("--epochs", type=int, default=3 if few else 8, help="of the head")
    parser.add_argument("--device", default=device, choices=("cpu", "cuda"))
    arguments = parser.parse_args(given)
    if arguments.tiny:
        tiny = {"model": "test_resnet", "size": 32, "rounds": 2, "images": 64, "epochs": 4}
        vars(arguments).update(tiny)
    return arguments


if __name__ == "__main__":
    main()
