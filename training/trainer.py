"""The trainer: brings the live state to any point of the tree, and trains the segment there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from training.confusion import CONFUSION, Rows, kept
from training.live import Live
from training.record import Record
from training.saving import Saving
from training.segment import evaluate_segment, read, train_segment, world_rank
from training.settings import Place, Settings
from training.store import Store
from training.task import Task
from training.thumbnails import packed


@dataclass(frozen=True)
class Step:
    """One segment of a path: what it is called and what it does."""

    key: str
    settings: Settings


class Trainer:
    """Trains segments of one task and seed; the last state stays live, so going on is free."""

    def __init__(self, task: Task, *, root: str, seed: int, store: Store, place: Place) -> None:
        """Build the models on the device of `place`, and set torch's threads from it."""
        if place.device == "cpu":
            torch.set_num_threads(place.num_threads)
        task.to(place.device)
        self._task = task
        self._root = root
        self._seed = seed
        self._store = store
        self._live = Live(task, seed, place.device)
        self._key: str | None = root

    def train(self, path: Sequence[Step]) -> Record:
        """Train the last segment of `path`, which leads from the root, and publish it.

        Goes on from the live state or the nearest stored one. A state on the way that is missing
        or damaged is trained again from its own parent.
        """
        started = time.perf_counter()
        begin = self._reach(path)
        restore_s = time.perf_counter() - started
        for index in range(begin, len(path)):
            parent = path[index - 1].key if index else self._root
            record = self._segment(path[index], parent, restore_s if index == begin else 0.0)
            if world_rank() == 0:
                self._store.publish_record(record)
        return record

    def _reach(self, path: Sequence[Step]) -> int:
        """Make the nearest state before the end of `path` live; return the segments it has."""
        for done in range(len(path) - 1, 0, -1):
            step = path[done - 1]
            if self._everywhere(self._key == step.key):
                return done
            state = self._store.state(step.key)
            if self._everywhere(state is not None and self._load(state, step.settings)):
                self._key = step.key
                return done
        if not self._everywhere(self._key == self._root):
            self._live.start()
            self._key = self._root
        return 0

    def _load(self, state: dict[str, Any], settings: Settings) -> bool:
        """Take over a saved state; tell whether it is one of this task.

        Where it is not, the live state has no name until another one is loaded.
        """
        self._key = None
        try:
            self._live.load(state, settings)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
            return False
        return True

    def _segment(self, step: Step, parent: str, restore_s: float) -> Record:
        """Train and evaluate; the state, which an evaluation leaves alone, is saved beside it."""
        settings = step.settings
        self._key = None  # until the segment is whole, the live state has no name
        on_cuda = settings.place.device == "cuda"
        if on_cuda:
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        train, _ = read(train_segment(self._live, self._task, settings, self._seed), settings)
        trained = time.perf_counter()
        with self._saving(step.key) as saving:
            val, tables = read(evaluate_segment(self._live, self._task, settings), settings)
            evaluated = time.perf_counter()
            self._key = step.key
        return Record(
            key=step.key,
            parent=parent,
            index=settings.index,
            data=settings.data,
            metrics=self._task.metrics(train, val),
            num_steps=settings.num_steps,
            lr_first=settings.lrs[0],
            lr_last=settings.lrs[-1],
            world_size=settings.place.world_size,
            train_s=trained - started,
            eval_s=evaluated - trained,
            restore_s=restore_s,
            save_s=saving.save_s if saving else 0.0,
            write_s=saving.write_s if saving else 0.0,
            micro_batches=self._live.micro_batches(settings),
            peak_bytes=torch.cuda.max_memory_allocated() if on_cuda else 0,
            tables={f"val_{name}": _rows(name, table) for name, table in tables.items()},
        )

    def _saving(self, key: str) -> AbstractContextManager[Saving | None]:
        """Return what saves the live state; the first rank does."""
        if world_rank() != 0:
            return nullcontext()
        return Saving(self._store, key, self._live.capture())

    def _everywhere(self, here: bool) -> bool:
        """Return whether `here` holds on every rank, so that all of them take the same way."""
        if not dist.is_initialized():
            return here
        votes = torch.tensor(int(here), device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(votes, dist.ReduceOp.MIN)
        return bool(votes.item())


def _rows(name: str, table: torch.Tensor) -> Rows:
    """Return the rows of counts, of which (true, predicted) is cut, or of drawings (K, P, P)."""
    if table.ndim == 3:
        return packed(table)
    rows: Rows = kept(table) if name == CONFUSION else table.tolist()
    return rows
