"""The trainer: brings the live state to any point of the tree, and trains the segment there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist

from training.confusion import CONFUSION, Rows, kept
from training.fused import (
    NotTogether,
    Separable,
    can_fuse,
    evaluate_fused,
    same_backbone,
    sibling,
    train_fused,
)
from training.keys import Step
from training.live import Live
from training.record import Record
from training.saving import Saving
from training.segment import evaluate_segment, read, train_segment, world_rank
from training.settings import Place, Settings
from training.store import Store
from training.task import Task
from training.thumbnails import packed


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
        self._fused: dict[str, Live] = {}

    def train(self, path: Sequence[Step]) -> Record:
        """Train the last segment of `path`, which leads from the root, and publish it.

        Goes on from the live state or the nearest stored one. A state on the way that is missing
        or damaged is trained again from its own parent.
        """
        started = time.perf_counter()
        if not self._can_be_fused(path[-1].settings):
            self._fused = {}  # copies of the model
        begin = self._reach(path)
        restore_s = time.perf_counter() - started
        for index in range(begin, len(path)):
            parent = path[index - 1].key if index else self._root
            record = self._segment(path[index], parent, restore_s if index == begin else 0.0)
            if world_rank() == 0:
                self._store.publish_record(record)
        return record

    def train_beside(self, path: Sequence[Step], others: Sequence[Sequence[Step]]) -> Record:
        """Train and publish the last segment of `path`, and in the same pass those of `others`.

        An outcome is that of `train` for each. Those of `others` that cannot be trained in one pass
        with `path`, or do not fit into memory with it, are left out.
        """
        model = self._live.models[path[-1].settings.model]
        fit = [
            other
            for other in others
            if not can_fuse([path[-1].settings, other[-1].settings], self._task, model)
        ]
        if fit and isinstance(self._task, Separable):
            try:
                return self._fuse(self._task, [path, *fit])[0]
            except (NotTogether, torch.OutOfMemoryError):
                self._fused = {}
        return self.train(path)

    def train_fused(self, paths: Sequence[Sequence[Step]]) -> list[Record]:
        """Train the last segments of `paths` in one pass over the data, and publish them.

        Each outcome is that of `train`; see `training.fused`. The records share the seconds of the
        pass evenly. What does not fit into memory so is trained one by one. Raises `NotTogether`
        where the settings, or the states before, do not allow it.
        """
        settings = [path[-1].settings for path in paths]
        model = self._live.models[settings[0].model]
        reason = can_fuse(settings, self._task, model)
        if reason is not None or not isinstance(self._task, Separable):
            raise NotTogether(f"fused training: {reason}")
        try:
            return self._fuse(self._task, paths)
        except torch.OutOfMemoryError:
            self._fused = {}
        return [self.train(path) for path in paths]  # out of the handler: it held the tensors

    def _can_be_fused(self, settings: Settings) -> bool:
        return can_fuse([settings], self._task, self._live.models[settings.model]) is None

    def _fuse(self, task: Separable, paths: Sequence[Sequence[Step]]) -> list[Record]:
        started = time.perf_counter()
        settings = [path[-1].settings for path in paths]
        lives = self._siblings(paths)
        restored = time.perf_counter()
        if settings[0].place.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        totals = train_fused(lives, task, settings, self._seed)
        train = [read(each, settings[0])[0] for each in totals]
        trained = time.perf_counter()
        totals = evaluate_fused(lives, task, settings)
        val = [read(each, settings[0]) for each in totals]
        seconds = (trained - restored, time.perf_counter() - trained, restored - started)
        share = tuple(each / len(paths) for each in seconds)
        records = []
        for path, live, numbers, found in zip(paths, lives, train, val, strict=True):
            parent = path[-2].key if len(path) > 1 else self._root
            records.append(self._record(path[-1], parent, numbers, found, share, None))
            self._store.publish(records[-1], live.capture())
        self._fused = {path[-1].key: live for path, live in zip(paths, lives, strict=True)}
        return records

    def _siblings(self, paths: Sequence[Sequence[Step]]) -> list[Live]:
        """Return the state before the last segment of each path; all share one backbone.

        Those of the last fused segment are still there; others are brought by the live state.
        """
        parents = [path[-2].key if len(path) > 1 else self._root for path in paths]
        known, self._fused = self._fused, {}
        if len(set(parents)) == len(parents) and known.keys() >= set(parents):
            return [known[parent] for parent in parents]
        known.clear()
        model = paths[0][-1].settings.model
        lives: list[Live] = []
        for path, parent in zip(paths, parents, strict=True):
            if lives and parent == parents[0]:
                lives.append(sibling(lives[0], lives[0], model))
                continue
            if self._reach(path) < len(path) - 1:
                self.train(path[:-1])
            if lives and not same_backbone(self._live, lives[0], model):
                pair = f"{parent} has another backbone than {parents[0]}"
                raise NotTogether(f"fused training: {pair}")
            lives.append(sibling(self._live, lives[0], model) if lives else self._live.twin())
        return lives

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
        with self._saving(step.key, self._live) as saving:
            val = read(evaluate_segment(self._live, self._task, settings), settings)
            evaluated = time.perf_counter()
            self._key = step.key
        seconds = (trained - started, evaluated - trained, restore_s)
        return self._record(step, parent, train, val, seconds, saving)

    def _record(
        self,
        step: Step,
        parent: str,
        train: dict[str, float],
        val: tuple[dict[str, float], dict[str, torch.Tensor]],
        seconds: tuple[float, ...],
        saving: Saving | None,
    ) -> Record:
        """Return the record of a segment; `seconds` are of training, evaluation and restoring."""
        settings, (numbers, tables) = step.settings, val
        train_s, eval_s, restore_s = seconds
        return Record(
            key=step.key,
            parent=parent,
            index=settings.index,
            data=settings.data,
            metrics=self._task.metrics(train, numbers),
            num_steps=settings.num_steps,
            lr_first=settings.lrs[0],
            lr_last=settings.lrs[-1],
            world_size=settings.place.world_size,
            train_s=train_s,
            eval_s=eval_s,
            restore_s=restore_s,
            save_s=saving.save_s if saving else 0.0,
            write_s=saving.write_s if saving else 0.0,
            micro_batches=self._live.micro_batches(settings),
            peak_bytes=torch.cuda.max_memory_allocated() if settings.place.device == "cuda" else 0,
            tables={f"val_{name}": _rows(name, table) for name, table in tables.items()},
        )

    def _saving(self, key: str, live: Live) -> AbstractContextManager[Saving | None]:
        """Return what saves a live state; the first rank does."""
        if world_rank() != 0:
            return nullcontext()
        return Saving(self._store, key, live.capture())

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
