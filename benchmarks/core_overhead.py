"""Time per step: the training core against a raw PyTorch loop.

    python -m benchmarks.core_overhead [--tiny] [--model test_resnet] [--size 32] [--batch 32]

The raw loop is what one writes by hand for the same work: a random order, images indexed as uint8
where they lie and normalised there, forward, cross entropy, backward, AdamW, running totals that
are never read inside the loop. The core does it by `train_segment`, with its layer groups, its
learning rate per step and its generators.

Equal on both sides: machine, process, one torch thread, device, model, starting weights, images,
order, learning rate, optimizer and number of steps; on the CPU the weights must agree to the last
bit at the end, or the benchmark fails. The sides take turns, and which of them begins alternates.
Both are built four times, in alternating order: where the allocator happens to put the weights
makes two raw loops differ by 1-2 %. The ratio is that of the medians over all rounds; `ratio_p25`
and `ratio_p75` are quartiles of the ratio within one round. On a GPU the core also takes turns with
itself with `compute.cuda_graphs`, which records a step in each round and replays it.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median, quantiles

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks._report import report
from training.classification import Classification, ClassifierConfig
from training.digits import load_digits
from training.live import Live
from training.randomness import derive, generator
from training.schedule import Schedule, Stage
from training.segment import train_segment
from training.settings import Compute, Place, Settings
from training.task import Task, facts_of

_DATA, _LR, _DECAY = "source", 1e-3, 1e-4
_INSTANCES = 4


@dataclass(frozen=True)
class Side:
    """One of the two loops."""

    epoch: Callable[[], object]
    """Trains one round."""
    model: nn.Module
    """What it trains."""


def main() -> None:
    """Run both sides by turns and report."""
    parser = argparse.ArgumentParser(prog="benchmarks.core_overhead", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="8 rounds of 4 steps")
    parser.add_argument("--model", default="test_resnet", help="any timm model")
    parser.add_argument("--size", type=int, default=32, help="side of the images in px")
    parser.add_argument("--batch", type=int, default=32, help="images per step")
    parser.add_argument("--steps", type=int, default=20, help="steps per round")
    parser.add_argument("--rounds", type=int, default=60, help="rounds of each side")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=device, choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    steps, rounds = (4, 8) if arguments.tiny else (arguments.steps, max(4, arguments.rounds))

    torch.set_num_threads(1)
    task = Classification(ClassifierConfig(model=arguments.model, image_size=arguments.size))
    if steps * arguments.batch >= task.num_train()[_DATA]:
        parser.error(f"--steps x --batch must be less than {task.num_train()[_DATA]} images")
    task.to(arguments.device)
    settings = settings_of(task, arguments.batch, steps, Place(device=arguments.device))
    recording = replace(settings, compute=Compute(cuda_graphs=True).at(settings.place))
    times: dict[str, list[float]] = defaultdict(list)
    for instance in range(_INSTANCES):
        sides = build_sides(task, settings, first="core" if instance % 2 else "raw")
        for name, found in by_turns(sides, rounds // _INSTANCES, arguments.device).items():
            times[name] += found
        check_equal(sides["core"].model, sides["raw"].model)
        if recording.compute.cuda_graphs:  # by themselves: who records empties torch's cache
            sides = {"steps": core_side(task, settings), "graphs": core_side(task, recording)}
            for name, found in by_turns(sides, rounds // _INSTANCES, arguments.device).items():
                times[name] += found
    ratios = [a / b for a, b in zip(times["core"], times["raw"], strict=True)]
    low, _, high = quantiles(ratios, n=4)
    core_s, raw_s = median(times["core"]), median(times["raw"])
    graphs = {}
    if "graphs" in times:
        graphs["graphs_over_core"] = median(times["graphs"]) / median(times["steps"])
    report(
        "core_overhead",
        {
            "ratio": core_s / raw_s,
            "ratio_p25": low,
            "ratio_p75": high,
            "core_ms_per_step": core_s / steps * 1e3,
            "raw_ms_per_step": raw_s / steps * 1e3,
            "rounds": len(ratios),
            "steps_per_round": steps,
            "batch": arguments.batch,
            "size_px": arguments.size,
            **graphs,
        },
        {"ratio": ("<=", 1.03)},
    )


def settings_of(task: Classification, batch: int, steps: int, place: Place) -> Settings:
    """Return the settings of an epoch of `steps` steps at a constant LR, all layers training."""
    share = steps * batch / task.num_train()[_DATA]
    stage = Stage(name="full", epochs=1, lr=_LR, batch_size=batch, data=_DATA, data_fraction=share)
    settings = Schedule(stages=(stage,)).next([], facts_of(task, seed=0, place=place))
    assert settings is not None and settings.num_steps == steps
    return settings


def build_sides(task: Classification, settings: Settings, first: str) -> dict[str, Side]:
    """Return both sides by name, the one named `first` built first."""
    build = {"core": core_side, "raw": raw_side}
    return {name: build[name](task, settings) for name in sorted(build, key=first.__ne__)}


def core_side(task: Task, settings: Settings) -> Side:
    """Return the core's loop."""
    live = Live(task, seed=0, device=settings.place.device)
    live.prepare(settings)
    going_on = replace(settings, fresh_optimizer=False)
    return Side(lambda: train_segment(live, task, going_on, seed=0), live.models[settings.model])


def raw_side(task: Classification, settings: Settings) -> Side:
    """Return the raw loop."""
    device, batch = settings.place.device, settings.batch_size
    model = task.build(0)["model"].to(device)
    torch.manual_seed(derive(0, 0, f"head {_DATA}"))
    model.reset_classifier(len(task.classes(_DATA)))  # type: ignore[operator]
    model.to(device)
    pixels, labels = used_images(task, settings)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_LR, weight_decay=_DECAY, fused=device == "cuda" or None
    )

    def epoch() -> tuple[Tensor, Tensor]:
        model.train()
        total_loss = torch.zeros((), device=device)
        total_right = torch.zeros((), dtype=torch.int64, device=device)
        shuffle = generator(0, settings.index, "order")
        order = torch.randperm(len(labels), generator=shuffle).to(device, non_blocking=True)
        for chosen in order.split(batch):
            targets = labels[chosen]
            images = pixels[chosen].float().div_(255).sub_(0.5).div_(0.25)
            logits = model(images)
            loss = F.cross_entropy(logits, targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total_loss += loss.detach() * len(chosen)
            total_right += (logits.detach().argmax(1) == targets).sum()
        return total_loss, total_right

    return Side(epoch, model)


def used_images(task: Classification, settings: Settings) -> tuple[Tensor, Tensor]:
    """Return pixels and labels of the images that the settings use, on the device."""
    images = load_digits(task.config.image_size)[_DATA].train
    images.to(settings.place.device)
    fixed = torch.randperm(len(images), generator=generator(0, 0, f"fraction {_DATA}"))
    used = fixed[: settings.num_steps * settings.batch_size].to(images.labels.device)
    return images.pixels[used], images.labels[used]


def by_turns(sides: dict[str, Side], rounds: int, device: str) -> dict[str, list[float]]:
    """Return for each side the seconds of its rounds; a first round of each is not counted."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name in sorted(sides, reverse=bool(turn % 2)):
            wait(device)
            started = time.perf_counter()
            sides[name].epoch()
            wait(device)
            if turn:
                times[name].append(time.perf_counter() - started)
    return times


def wait(device: str) -> None:
    """Wait until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def check_equal(one: nn.Module, other: nn.Module) -> None:
    """Fail where the two sides did not do the same work on the CPU; a GPU's sums have no order."""
    left, right = one.state_dict(), other.state_dict()
    differing = [name for name in left if not torch.equal(left[name], right[name])]
    if differing and next(iter(left.values())).device.type == "cpu":
        raise SystemExit(f"core_overhead: the sides end with other weights: {differing[:3]}")


if __name__ == "__main__":
    main()
