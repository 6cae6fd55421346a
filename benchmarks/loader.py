"""Images a second on a folder of JPEGs: the cache of decoded images against torchvision.

    python -m benchmarks.loader [--tiny] [--images 20000] [--size 128] [--batch 64]

Generates photo-like JPEGs of 200-300 px (`benchmarks/_photos.py`). The first task decodes them into
the cache; a second task object opens it, as every further trial on a machine does. Then both sides
take turns to make an epoch's batches:

thaw: order, random numbers, pixels out of the cache, normalisation, random affine map and flip, and
a loss without a model: all that `train_segment` does for a step but the model.
torchvision: `ImageFolder` with `Resize`, `CenterCrop`, `RandomAffine`, `RandomHorizontalFlip`,
`ToTensor`, `Normalize` of the same strengths, in a `DataLoader` with persistent workers; every
number of workers from 0 to twice the cores is tried, and the best one stands for it, as does thaw's
best number of torch threads. The start is not counted: the clock runs from the first batch on.

Files and cache are in the page cache by then. The ratio is the median over rounds of the ratio
within a round.
`cpu_ratio` compares what an image costs in CPU time, each side in one process on one thread: it
holds on a busy machine too. `payback_epochs` says after how many epochs the decoding has paid for
itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks._photos import write_photos
from benchmarks._report import report
from training.classification import Classification, ClassifierConfig
from training.folder import load_folder
from training.order import epoch_order
from training.randomness import generator
from training.schedule import Schedule, Stage
from training.settings import Augment, Place, Settings
from training.task import facts_of

_CLASSES = 20
_AUGMENT = Augment(shift=0.1, zoom=0.1, rotate_deg=10, flip=True)


def main() -> None:
    """Generate, build, measure by turns and report."""
    arguments = _arguments()
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
    with tempfile.TemporaryDirectory(prefix="thaw-loader-") as name:
        os.environ["THAW_CACHE"] = f"{name}/cache"
        folder = Path(name) / "photos"
        began_s = time.perf_counter()
        num_bytes = write_photos(
            folder, arguments.images, num_classes=_CLASSES, num_val=arguments.images // 10
        )
        made_s = time.perf_counter() - began_s
        config = ClassifierConfig(data=str(folder), image_size=arguments.size)
        build_s, first = build(config)
        reopen_s, task = reopen(config)
        if task.fingerprint() != first.fingerprint():
            raise SystemExit("loader: the second task has another fingerprint")
        cpu_ms = {
            "thaw": _cpu_ms(thaw_batches(task, arguments.batch, 1), arguments.part // 3),
            "torchvision": _cpu_ms(torchvision_batches(folder, arguments, 0), arguments.part // 3),
        }
        cores = os.cpu_count() or 1
        threads, ours_tried = best(
            sorted({1, cores}),
            lambda threads: thaw_batches(task, arguments.batch, threads),
            arguments.part // 3,
        )
        workers, theirs_tried = best(
            range(0, 2 * cores + 1, cores if arguments.tiny else 1),
            lambda workers: torchvision_batches(folder, arguments, workers),
            arguments.part // 3,
        )
        rates = by_turns(
            {
                "thaw": lambda: thaw_batches(task, arguments.batch, threads),
                "torchvision": lambda: torchvision_batches(folder, arguments, workers),
            },
            arguments.part,
            arguments.rounds,
        )
    _show(ours_tried, theirs_tried, rates)
    ours, theirs = median(rates["thaw"]), median(rates["torchvision"])
    report(
        "loader",
        {
            "ratio": median(
                a / b for a, b in zip(rates["thaw"], rates["torchvision"], strict=True)
            ),
            "images_per_s": ours,
            "torchvision_images_per_s": theirs,
            "threads": threads,
            "torchvision_workers": workers,
            "cpu_ratio": cpu_ms["torchvision"] / cpu_ms["thaw"],
            "cpu_ms_per_image": cpu_ms["thaw"],
            "torchvision_cpu_ms_per_image": cpu_ms["torchvision"],
            "build_s": build_s,
            "build_images_per_s": arguments.images / build_s,
            "reopen_s": reopen_s,
            "reopen_share": reopen_s / build_s,
            "payback_epochs": build_s / (arguments.images * (1 / theirs - 1 / ours)),
            "images": arguments.images,
            "kb_per_image": num_bytes / arguments.images / 1e3,
            "size_px": arguments.size,
            "generate_s": made_s,
        },
        {
            "ratio": (">=", 3.0),
            "cpu_ratio": (">=", 3.0),
            "reopen_share": ("<=", 0.05),
        },
    )


def build(config: ClassifierConfig) -> tuple[float, Classification]:
    """Return the seconds until a first task knows its data, and that task."""
    began_s = time.perf_counter()
    decoded = 0

    def count(done: int, num: int) -> None:
        nonlocal decoded
        decoded = done

    load_folder(config.data, config.image_size, count)
    task = Classification(config)
    task.fingerprint()
    if not decoded:
        raise SystemExit("loader: nothing was decoded")
    return time.perf_counter() - began_s, task


def reopen(config: ClassifierConfig) -> tuple[float, Classification]:
    """Return the seconds until a second task knows the same data, and that task."""

    def refuse(done: int, num: int) -> None:
        raise SystemExit("loader: the second task decoded again")

    load_folder(config.data, config.image_size, refuse)
    began_s = time.perf_counter()
    task = Classification(config)
    task.fingerprint()
    return time.perf_counter() - began_s, task


class Blind(nn.Module):
    """Stands for a model: takes the images and says nothing of them."""

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, classes) zeros."""
        return images.new_zeros(len(images), _CLASSES)


def settings_of(task: Classification, batch: int) -> Settings:
    """Return the settings of an epoch over all training images."""
    stage = Stage(name="all", epochs=1, lr=1e-3, batch_size=batch, augment=_AUGMENT)
    settings = Schedule(stages=(stage,)).next([], facts_of(task, seed=0, place=Place()))
    assert settings is not None
    return settings


def thaw_batches(task: Classification, batch: int, threads: int) -> Iterator[int]:
    """Make an epoch's batches as a training segment does; yield their sizes."""
    torch.set_num_threads(threads)
    settings, forward = settings_of(task, batch), {"model": Blind()}
    draws = generator(0, settings.index, "draws")
    for chosen in epoch_order(task, settings, 0).split(batch):
        task.loss(forward, chosen, task.draw(chosen, settings, draws), settings)
        yield len(chosen)


def torchvision_batches(folder: Path, arguments: argparse.Namespace, workers: int) -> Iterator[int]:
    """Make an epoch's batches as torchvision's own examples do; yield their sizes."""
    from torchvision import transforms as T
    from torchvision.datasets import ImageFolder

    size = arguments.size
    steps = [
        T.Resize(size),
        T.CenterCrop(size),
        T.RandomAffine(
            _AUGMENT.rotate_deg,
            translate=(_AUGMENT.shift, _AUGMENT.shift),
            scale=(1 - _AUGMENT.zoom, 1 + _AUGMENT.zoom),
            interpolation=T.InterpolationMode.BILINEAR,
        ),
        T.RandomHorizontalFlip(),
        T.ToTensor(),
        T.Normalize([0.5] * 3, [0.25] * 3),
    ]
    data = ImageFolder(str(folder / "train"), T.Compose(steps))
    options: dict[str, Any] = {"persistent_workers": True} if workers else {}
    loader = DataLoader(data, arguments.batch, shuffle=True, num_workers=workers, **options)
    for images, _ in loader:
        yield len(images)


def best(
    choices: Iterable[int], make: Callable[[int], Iterator[int]], part: int
) -> tuple[int, dict[int, float]]:
    """Return the fastest of `choices`, and the images a second of each."""
    tried = {choice: _rate(make(choice), part) for choice in choices}
    return max(tried, key=tried.__getitem__), tried


def by_turns(
    sides: dict[str, Callable[[], Iterator[int]]], part: int, rounds: int
) -> dict[str, list[float]]:
    """Return for each side the images a second of its rounds."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in sorted(sides, reverse=bool(turn % 2)):
            rates[name].append(_rate(sides[name](), part))
    return rates


def _rate(batches: Iterator[int], part: int) -> float:
    """Return images a second over the `part` images, or all that there are, after a first batch."""
    next(batches)
    began_s, num = time.perf_counter(), 0
    for size in batches:
        num += size
        if num >= part:
            break
    return num / (time.perf_counter() - began_s)


def _cpu_ms(batches: Iterator[int], part: int) -> float:
    """Return CPU milliseconds an image, as `_rate` counts images."""
    next(batches)
    began_s, num = time.process_time(), 0
    for size in batches:
        num += size
        if num >= part:
            break
    return 1e3 * (time.process_time() - began_s) / num


def _show(ours: dict[int, float], theirs: dict[int, float], rates: dict[str, list[float]]) -> None:
    table = Table("loader", "images a second", title="one machine", title_justify="left")
    for threads, rate in ours.items():
        table.add_row(f"thaw, threads {threads} (tried)", f"{rate:.0f}")
    for workers, rate in theirs.items():
        table.add_row(f"torchvision, workers {workers} (tried)", f"{rate:.0f}")
    for name, found in rates.items():
        table.add_row(name, ", ".join(f"{rate:.0f}" for rate in found))
    Console().print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.loader", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="200 images at 64 px, one round")
    parser.add_argument("--images", type=int, default=20_000, help="JPEGs to generate")
    parser.add_argument("--size", type=int, default=128, help="side of the decoded images in px")
    parser.add_argument("--batch", type=int, default=64, help="images of a batch")
    parser.add_argument("--part", type=int, default=6_000, help="images of a measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each side")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.images, arguments.size, arguments.batch, arguments.rounds = 200, 64, 16, 1
    return arguments


if __name__ == "__main__":
    main()
