"""Images a second: the training core, the limit of the device, and the loops that people write.

    python -m benchmarks.throughput [--model resnet50] [--size 224] [--batch 8] [--tiny] [--keep]

(a) `core`: `train_segment` on the real data path: uint8 images where they lie, indexed by a random
order, normalised and augmented (shift, zoom, flip) there, totals for the record.
(b) `raw`: the limit: a bare loop over one batch of float tensors that lie on the device, with the
same model, loss, optimizer, precision and layout, and no data, no augmentation, no totals.
(c) `torchvision`: `ImageFolder`, `RandomResizedCrop`, flip, a `DataLoader` with lasting workers,
`loss.item()` in each step. (d) `timm`: data, loader, loss, optimizer and step of its `train.py`.
Both read generated photo-like JPEGs of 200-300 px, from which the core's cache was made.

`--model` is any timm model (`edgenext_small`), `segformer` (SegFormer with MiT-B2 on drawn streets)
or `dsr` (the super-resolver of faces, 16 to 112 px); the last two have no (c) and (d).
`--batches 4,8,16` shows (a) and (b) over batch sizes.

Equal on all sides: process, device, threads, model, optimizer (AdamW), batch, precision, layout,
steps a round. The sides take turns, and the order alternates; a round of (c) and (d) is an epoch of
the folder, with the wait for its first batch. All are built four times, in alternating order: two
bare loops in one process differ by up to 6 %, by where their memory lies. A ratio is the median of
those within one round, of all rounds; `core_over_raw_p25` and `_p75` are its quartiles.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median, quantiles

import torch
from rich.console import Console
from rich.table import Table

from benchmarks._keep import keep
from benchmarks._photos import write_photos
from benchmarks._report import report
from benchmarks._systems import System, raw_side, settings_of, system
from benchmarks._users import timm_side, torchvision_side
from benchmarks.core_overhead import Side, by_turns, core_side
from training.settings import Compute, Place, Settings

_CLASSES = 8
_USERS = {"torchvision": torchvision_side, "timm": timm_side}
_INSTANCES = 4
Times = dict[str, list[float]]
Build = dict[str, Callable[[], Side]]


def main() -> None:
    """Measure all sides by turns and report."""
    arguments = _arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = arguments.batch or (128 if device == "cuda" else 8)
    steps = arguments.steps or (40 if device == "cuda" else 2)
    rounds = max(2, arguments.rounds)
    compute = Compute(
        precision=arguments.precision,
        channels_last=arguments.channels_last,
        compile=arguments.compile,
    )
    place = Place(device=device, num_threads=torch.get_num_threads())
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
    with tempfile.TemporaryDirectory(prefix="thaw-throughput-") as name:
        folder = Path(name) / "photos"
        os.environ["THAW_CACHE"] = f"{name}/cache"
        if arguments.model not in ("segformer", "dsr"):
            num_val = 2 * _CLASSES
            write_photos(folder, batch * steps + num_val, num_classes=_CLASSES, num_val=num_val)
        trained = system(arguments.model, arguments.size, folder)
        trained.task.to(device)
        settings = settings_of(trained, batch, steps, compute, place)
        users = _USERS if folder.exists() and not arguments.batches else {}
        build: Build = {
            "core": partial(core_side, trained.task, settings),
            "raw": partial(raw_side, trained, settings),
        }
        for user, side in users.items():
            build[user] = partial(side, arguments.model, arguments.size, folder, settings)
        figures = figures_of(measured(build, rounds, device), batch * steps)
        figures |= {"batch": batch, "steps": steps, "rounds": rounds}
        sizes = [int(text) for text in arguments.batches.split(",") if text]
        figures |= growth(trained, sizes, settings, rounds)
    target = 0.95 if device == "cuda" else 0.97
    options = [arguments.precision] * (arguments.precision != "fp32")
    options += ["compiled"] * arguments.compile + ["growth"] * bool(sizes)
    title = "-".join(["throughput", arguments.model, str(arguments.size), *options])
    report(title, figures, {} if arguments.tiny else {"core_over_raw": (">=", target)})
    if arguments.keep:
        keep(title, figures)


def measured(build: Build, rounds: int, device: str) -> Times:
    """Build all sides again and again, in alternating order; return the seconds of each round."""
    times: Times = {name: [] for name in build}
    for instance in range(min(_INSTANCES, rounds)):
        names = sorted(build, reverse=bool(instance % 2))
        sides = {name: build[name]() for name in names}
        for name, found in by_turns(sides, max(1, rounds // _INSTANCES), device).items():
            times[name] += found
        del sides  # before others are built
    return times


def figures_of(times: Times, num_images: int) -> dict[str, float]:
    """Return images a second of each side, and the core's against each of the others."""
    core = times["core"]
    ratios = {
        f"core_over_{name}": [other / own for own, other in zip(core, found, strict=True)]
        for name, found in times.items()
        if name != "core"
    }
    low, _, high = quantiles(ratios["core_over_raw"], n=4)
    figures = {name: median(found) for name, found in ratios.items()}
    figures |= {"core_over_raw_p25": low, "core_over_raw_p75": high}
    speeds = {f"{name}_images_per_s": num_images / median(found) for name, found in times.items()}
    return figures | speeds


def growth(
    trained: System, batches: Sequence[int], like: Settings, rounds: int
) -> dict[str, float]:
    """Return images a second of core and limit for each batch size, and print them."""
    figures: dict[str, float] = {}
    table = Table("batch", "core, images/s", "limit, images/s", "core / limit")
    for batch in batches:
        settings = settings_of(trained, batch, like.num_steps, like.compute, like.place)
        build: Build = {
            "core": partial(core_side, trained.task, settings),
            "raw": partial(raw_side, trained, settings),
        }
        found = figures_of(measured(build, rounds, like.place.device), batch * like.num_steps)
        names = ("core_images_per_s", "raw_images_per_s", "core_over_raw")
        table.add_row(str(batch), *(f"{found[name]:.3g}" for name in names))
        figures |= {f"{name}_at_{batch}": found[name] for name in names}
    if batches:
        Console().print(table)
    return figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a small model, two rounds")
    parser.add_argument("--model", default="resnet50", help="a timm model, segformer or dsr")
    parser.add_argument("--size", type=int, default=224, help="side of the images in px")
    parser.add_argument("--batch", type=int, help="images a step; 8 on a CPU, 128 on a GPU")
    parser.add_argument("--batches", default="", help="batch sizes to compare, as 4,8,16")
    parser.add_argument("--steps", type=int, help="steps a round; 2 on a CPU, 40 on a GPU")
    parser.add_argument("--rounds", type=int, default=24, help="rounds of each side")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--channels-last", action="store_true", help="NHWC on all sides")
    parser.add_argument("--compile", action="store_true", help="torch.compile on all sides")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.size, arguments.batch, arguments.steps, arguments.rounds = 64, 4, 2, 2
        if arguments.model == "resnet50":
            arguments.model = "test_resnet"
    return arguments


if __name__ == "__main__":
    main()
