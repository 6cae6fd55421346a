"""A whole search of head-only trials: `--fuse 8` against the same search without.

    python -m benchmarks.fused_search [--tiny] [--trials 24] [--rounds 2] [--keep]

`thaw.search` as it stands, with Optuna, Tune, slots, store and tables, trains a fixed list of
trials: one epoch that all have in common, then four of the classifier alone on a frozen ResNet-18,
over randomly shifted digits of 96 px, so that no features can be kept from epoch to epoch. Trials
differ in the learning rate and weight decay of the classifier. One side trains heads of trials that
wait in the pass of one that runs, the other does not.

Equal on both sides: machine, Ray instance, two slots of one CPU each, trials, training code, no
early stopping, an empty store. Every row of the two tables must be equal, but for seconds and for
which of the trials trained a segment that both have. Times are those of whole searches without the
start of Ray; the sides take turns, and a ratio is the median over rounds of that within a round.
`benchmarks.fused` measures the pass alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks._keep import keep
from benchmarks._report import report
from search_spaces.dimensions import Ask, Real
from search_spaces.study import Study
from thaw.cluster import connected
from thaw.options import Options
from thaw.search import search
from trainables.classifier import HEAD_ONLY
from training.classification import ClassifierConfig
from training.optimizers import AdamW
from training.schedule import Schedule, Stage
from training.settings import Augment

_SLOTS, _FUSE, _EPOCHS = 2, 8, 4
_DATA, _BATCH = "source", 32
_LR = Real(name="head_lr", low=1e-4, high=1.0, log=True)
_DECAY = Real(name="weight_decay", low=1e-4, high=0.1, log=True)
_UNLIKE = ("device_s", "cost_s", "folder", "segments_trained", "segments_reused")
"""What may differ between the rows of the two tables."""
Rows = list[dict[str, Any]]


def space(ask: Ask, config: ClassifierConfig, seed: int) -> Schedule:
    """Return one epoch of everything, then the classifier alone."""
    fraction = 0.1 if config.model == "test_resnet" else 0.5
    common = {"data": _DATA, "data_fraction": fraction, "batch_size": _BATCH}
    head = {
        "name": "head",
        "epochs": _EPOCHS,
        "lr": ask(_LR),
        "groups": HEAD_ONLY,
        "batchnorm": "eval_frozen",
        "optimizer": AdamW(weight_decay=ask(_DECAY)),
        "augment": Augment(shift=0.1),
    }
    full = {"name": "full", "epochs": 1, "lr": 1e-3}
    return Schedule(seed=seed, stages=(Stage.parse(full | common), Stage.parse(head | common)))


def study_of(num_trials: int) -> Study:
    """Return the search for the head's rates on a grid of `num_trials` points."""
    num_lrs = num_trials // 2
    lrs = [_LR.low * (_LR.high / _LR.low) ** (i / (num_lrs - 1)) for i in range(num_lrs)]
    return Study(
        name="head_rates",
        question="Which learning rate and weight decay suit the classifier?",
        system="classifier",
        dimensions=(_LR, _DECAY),
        space=space,
        points=tuple(
            {_LR.name: lr, _DECAY.name: decay} for lr in lrs for decay in (_DECAY.low, _DECAY.high)
        ),
        max_epochs=_EPOCHS + 1,
        grace_epochs=1,
    )


def timed(study: Study, fields: dict[str, Any], fuse: int, folder: Path) -> tuple[float, Rows]:
    """Search all points of `study` in an empty store; return the seconds and the table's rows."""
    options = Options(
        study=study.name,
        trials=len(study.points),
        seed=0,
        out=str(folder / "out"),
        store=str(folder / "store"),
        scheduler="none",
        gpus_per_trial=0,
        max_concurrent=_SLOTS,
        fuse=fuse,
    )
    began_s = time.perf_counter()
    table = search(study, fields, {}, options, Console(quiet=True))
    spent_s = time.perf_counter() - began_s
    return spent_s, [asdict(table.rows[name]) for name in sorted(table.rows)]


def compare(study: Study, fields: dict[str, Any], rounds: int, folder: Path) -> dict[str, float]:
    """Return the figures of `rounds` searches of each side."""
    spent: dict[int, list[float]] = {_FUSE: [], 1: []}
    rows: dict[int, Rows] = {}
    for turn in range(rounds):
        for fuse in sorted(spent, reverse=not turn % 2):
            place = folder / f"{turn}-{fuse}"
            place.mkdir()
            spent_s, rows[fuse] = timed(study, fields, fuse, place)
            spent[fuse].append(spent_s)
    per_hour = 3600 * len(study.points)
    return {
        "trials": len(study.points),
        "trials_per_hour_fused": per_hour / median(spent[_FUSE]),
        "trials_per_hour_plain": per_hour / median(spent[1]),
        "fused_over_plain": median(a / b for a, b in zip(spent[1], spent[_FUSE], strict=True)),
        "segments_fused": _num_segments(rows[_FUSE]),
        "segments_plain": _num_segments(rows[1]),
        "identical": float(not _differing(rows[_FUSE], rows[1])),
    }


def _num_segments(rows: Rows) -> int:
    return sum(row["segments_trained"] for row in rows)


def _differing(fused: Rows, plain: Rows) -> list[str]:
    """Print and return what differs between the rows of the two tables."""
    found = [
        f"{one['trial']}: {name} is {one[name]!r} fused, {other[name]!r} without"
        for one, other in zip(fused, plain, strict=True)
        for name in one
        if name not in _UNLIKE and repr(one[name]) != repr(other[name])
    ]
    for line in found:
        print(line)
    return found


def main() -> None:
    """Run both sides by turns and report."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.fused_search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="4 trials of a small model")
    parser.add_argument("--trials", type=int, default=24, help="number of trials, an even one")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each side")
    parser.add_argument("--keep", action="store_true", help="write the figures to the results")
    arguments = parser.parse_args()
    if arguments.trials < 4 or arguments.trials % 2 or arguments.rounds < 1:
        parser.error("--trials must be even and at least 4, --rounds at least 1")
    fields: dict[str, Any] = {"model": "resnet18", "image_size": 96}
    if arguments.tiny:
        arguments.trials, arguments.rounds = 4, 1
        fields = {"model": "test_resnet", "image_size": 32}
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name, connected(None):
        figures = compare(study_of(arguments.trials), fields, arguments.rounds, Path(name))
    figures |= {"rounds": arguments.rounds, "slots": _SLOTS, "fuse": _FUSE}
    if arguments.keep:
        keep("fused_search", figures, device="cpu")
    report("fused_search", figures, {"identical": (">=", 1.0)})


if __name__ == "__main__":
    main()
