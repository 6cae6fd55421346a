"""State in and out: how long saving holds training up, and how long restoring takes.

    python -m benchmarks.state [--tiny] [--model vit_base_r50_s16_224] [--rounds 5] [--keep]

One trainer with AdamW trains a model of 100 million parameters, so that a state is three times as
many numbers: weights and the two moments. Its segments are short; a stall is set against a segment
of one minute by arithmetic, since it does not hang on the number of steps. Images are tiny, so that
the validation takes a few seconds of the minute (`eval_s`), which is what saving may overlap. What
the disk writes back in the rest of the minute is written back by `sync` before each saving.

Two sides take turns, segment by segment, in one process with the same trainer, store, settings and
images: `saved` publishes state and record as ever; `unsaved` publishes the record alone.
`stall_s` is the median over rounds of what `saved` took longer after its last step, until the next
segment may begin: it holds what an evaluation loses to the writing beside it, and not only the
waiting in the end (`save_s`). `alone_s` is the same writing with nothing beside it, which is what a
segment without an evaluation would wait. `restore_s` goes from reading the file, which is in the
page cache by then, to the live state on the device; `load_s` is the part of it after decoding.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from threading import Event
from typing import Any

import torch

from benchmarks._keep import keep
from benchmarks._report import report
from training.classification import Classification, ClassifierConfig
from training.keys import Step
from training.live import Live
from training.record import Record
from training.schedule import Schedule, Stage
from training.settings import Place
from training.store import Store
from training.task import facts_of
from training.trainer import Trainer
from training.walk import walk

_MINUTE_S = 60.0
_SIZE, _BATCH, _STEPS, _DATA = 32, 4, 2, "target"
_MB = 2**20


class Switched(Store):
    """A store that leaves states out while it is switched off."""

    on = True

    def publish_state(self, key: str, state: dict[str, Any], stop: Event | None = None) -> None:
        """Write the state, or not."""
        if self.on:
            super().publish_state(key, state, stop)


@dataclass
class Run:
    """What was measured, by side: whether the state was saved."""

    after_s: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    """Seconds of each segment after its last step."""
    records: dict[bool, list[Record]] = field(default_factory=lambda: {True: [], False: []})
    last: list[Step] = field(default_factory=list)
    """The segment whose state was saved last."""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="benchmarks.state", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a small model, two rounds")
    parser.add_argument("--model", default="vit_base_r50_s16_224", help="any timm model")
    parser.add_argument("--rounds", type=int, default=5, help="segments of each side")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.model, arguments.rounds = "vit_tiny_patch16_224", 2

    device = "cuda" if torch.cuda.is_available() else "cpu"
    place = Place(device=device, num_threads=torch.get_num_threads())
    task = Classification(ClassifierConfig(model=arguments.model, image_size=_SIZE))
    with tempfile.TemporaryDirectory(prefix="thaw-state-") as folder:
        store = Switched(folder)
        run = by_turns(task, place, store, arguments.rounds)
        figures = figures_of(run, task, place, store)
    report("state", figures, {} if arguments.tiny else {"stall_share_of_minute": ("<=", 0.05)})
    if arguments.keep:
        keep("state", figures)


def by_turns(task: Classification, place: Place, store: Switched, rounds: int) -> Run:
    """Train segments, with and without saving by turns; the first of each side is not counted."""
    run, turns = Run(), iter(range(2 * rounds + 2))
    plan, facts = schedule_of(task, 2 * rounds + 2), facts_of(task, seed=0, place=place)
    trainer = Trainer(task, root=facts.root, seed=0, store=store, place=place)

    def train(path: Sequence[Step]) -> Record:
        turn = next(turns)
        store.on = turn % 4 in (0, 3)  # which side begins alternates
        os.sync()
        began_s = time.perf_counter()
        record = trainer.train(path)
        if turn >= 2:
            run.after_s[store.on].append(time.perf_counter() - began_s - record.train_s)
            run.records[store.on].append(record)
        if store.on:
            for step in run.last:
                store.drop_state(step.key)
            run.last = [path[-1]]
        return record

    for _ in walk(plan, facts, store, train):
        pass
    return run


def schedule_of(task: Classification, num_segments: int) -> Schedule:
    """Return a schedule of short segments that train all layers with AdamW."""
    share = _STEPS * _BATCH / task.num_train()[_DATA]
    stage = Stage(
        name="all", epochs=num_segments, lr=1e-4, batch_size=_BATCH, data_fraction=share, data=_DATA
    )
    return Schedule(stages=(stage,))


def figures_of(run: Run, task: Classification, place: Place, store: Switched) -> dict[str, float]:
    """Return all figures; restores the last state that was saved, and saves it again."""
    stall_s = median(a - b for a, b in zip(run.after_s[True], run.after_s[False], strict=True))
    (step,) = run.last
    store.on = True
    rounds = range(len(run.records[True]))
    live = Live(task, 0, place.device)
    restored = [restore(live, store, step) for _ in rounds]
    alone_s = median(publish(live, store, step) for _ in rounds)
    num_bytes = store.state_bytes(step.key)
    restore_s = median(whole for whole, _ in restored)
    return {
        "stall_share_of_minute": stall_s / _MINUTE_S,
        "alone_share_of_minute": alone_s / _MINUTE_S,
        "stall_s": stall_s,
        "save_s": median(record.save_s for record in run.records[True]),
        "write_s": median(record.write_s for record in run.records[True]),
        "alone_s": alone_s,
        "eval_s": median(record.eval_s for record in run.records[False]),
        "restore_s": restore_s,
        "load_s": median(part for _, part in restored),
        "state_mb": num_bytes / _MB,
        "write_mb_per_s": num_bytes / _MB / alone_s,
        "restore_mb_per_s": num_bytes / _MB / restore_s,
        "parameters_m": sum(p.numel() for p in live.models.parameters()) / 1e6,
        "rounds": len(rounds),
    }


def restore(live: Live, store: Store, step: Step) -> tuple[float, float]:
    """Return the seconds of restoring the state of a segment, and those after it was decoded."""
    began_s = time.perf_counter()
    state = store.state(step.key)
    read_s = time.perf_counter()
    assert state is not None
    live.load(state, step.settings)
    _wait(live)
    end_s = time.perf_counter()
    return end_s - began_s, end_s - read_s


def publish(live: Live, store: Store, step: Step) -> float:
    """Return the seconds of writing the state with nothing beside it."""
    os.sync()
    began_s = time.perf_counter()
    store.publish_state(step.key, live.capture())
    return time.perf_counter() - began_s


def _wait(live: Live) -> None:
    if live.device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
