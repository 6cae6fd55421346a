"""Processes that train the same stage on one device at once, and how much each of them gets done.

Each has a `Trainer`, the task's real data and a store of its own. It waits between two steps until
it is told a window of time, trains through it, and tells what it did.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import torch
from torch import Tensor

from trainables.spec import TrialSpec
from training.errors import UserError
from training.keys import Step, child_key
from training.settings import Settings
from training.store import Store
from training.task import Task
from training.trainer import Trainer

_WARM_STEPS = 3
_LEAD_S = 0.1
_STOP_S = 5.0
_NO_MEMORY = "out of memory"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What each process trains, again and again."""

    spec: TrialSpec
    settings: Settings
    root: str
    store: str = ""
    """Folder for the stores of all processes."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """What one process did in a window, and what it takes."""

    steps: int
    seconds: float
    """From the beginning of the window to the end of the last step."""
    segments: int
    """Whole segments, each begun and ended within the window."""
    segments_s: float
    memory_bytes: int
    """The most so far: what torch holds on the GPU, or the resident memory of the process."""
    free_bytes: int
    """What nobody uses, of the GPU or of the machine."""
    refused: int
    """How often the device had no memory left, and the step was split."""


class NoMemory(RuntimeError):
    """There is no memory for this many at once."""


class Processes:
    """Processes side by side, with a lifetime: a context manager that leaves none behind."""

    def __init__(self, work: Work) -> None:
        """Begin with none."""
        self._work = work
        self._spawn = multiprocessing.get_context("spawn")
        self._all: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End them all, whatever they do."""
        for process, pipe in self._all:
            pipe.close()
            process.terminate()
        for process, _ in self._all:
            process.join(_STOP_S)
            if process.is_alive():
                process.kill()
                process.join()

    def add(self) -> Count:
        """Start one more, and wait until its first steps are done; the others rest.

        Raises `NoMemory`, and `UserError` for what is wrong with the task.
        """
        ours, theirs = self._spawn.Pipe()
        work = replace(self._work, store=str(Path(self._work.store) / str(len(self._all))))
        process = self._spawn.Process(target=_serve, args=(work, theirs), daemon=True)
        with _deaf():
            process.start()
            self._all.append((process, ours))
        theirs.close()
        return _answer(process, ours)

    def measure(self, seconds: float) -> list[Count]:
        """Let all of them train for the same `seconds`; return what each has done."""
        begin = time.monotonic() + _LEAD_S
        for _, pipe in self._all:
            with suppress(BrokenPipeError):  # one that has ended is told of by `_answer`
                pipe.send((begin, begin + seconds))
        return [_answer(process, pipe) for process, pipe in self._all]


def _answer(process: BaseProcess, pipe: Connection) -> Count:
    try:
        found = pipe.recv()
    except (EOFError, ConnectionResetError):
        process.join()
        if process.exitcode == -signal.SIGKILL:
            raise NoMemory(
                "a training process was killed, as Linux does where memory ends"
            ) from None
        raise RuntimeError(f"a training process ended with code {process.exitcode}") from None
    if isinstance(found, Count):
        return found
    kind, text = found
    raise {"user": UserError, "memory": NoMemory}.get(kind, RuntimeError)(text)


@contextmanager
def _deaf() -> Iterator[None]:
    """Let processes that are started here not hear Ctrl-C, which their parent answers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(work: Work, pipe: Connection) -> None:
    """Train until the pipe ends; the body of a process."""
    try:
        _train(work, pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done, or gone
    except Exception as error:
        memory = isinstance(error, MemoryError) or _NO_MEMORY in str(error).lower()
        kind = "user" if isinstance(error, UserError) else "memory" if memory else "ours"
        text = str(error) if kind == "user" else f"{type(error).__name__}: {error}"
        with suppress(OSError):
            pipe.send((kind, text))


def _train(work: Work, pipe: Connection) -> None:
    """Train segments with the same settings, each on from the one before; keep one state."""
    place, store = work.settings.place, Store(work.store)
    paced = _Paced(work.spec.build_task(), pipe, work.settings)
    seed = work.spec.schedule.seed
    trainer = Trainer(cast(Task, paced), root=work.root, seed=seed, store=store, place=place)
    path: list[Step] = []
    while True:
        index = work.settings.index + len(path)
        settings = replace(
            work.settings, index=index, fresh_optimizer=not path or work.settings.fresh_optimizer
        )
        path.append(Step(child_key(path[-1].key if path else work.root, settings), settings))
        trainer.train(path)
        paced.end_segment(settings.num_steps)
        if len(path) > 1:
            store.drop_state(path[-2].key)


class _Paced:
    """A task that is asked for draws at each step, and rests there outside of windows.

    Where steps are replayed nobody asks: it rests after the segment.
    """

    def __init__(self, task: Task, pipe: Connection, settings: Settings) -> None:
        self._task = task
        self._pipe = pipe
        self._device = settings.place.device
        self._replayed = settings.compute.cuda_graphs
        self._steps = 0 if self._replayed else -1  # the step of the last draw is yet to come
        self._window = (time.monotonic(), 0.0)
        self._ends: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def draw(self, chosen: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
        if not self._replayed:
            self._count_on(1)
        return self._task.draw(chosen, settings, generator)

    def end_segment(self, num_steps: int) -> None:
        """Note that a segment is over; its totals were read, so the device is done as well."""
        self._ends.append(time.monotonic())
        if self._replayed:
            self._count_on(num_steps)

    def _count_on(self, num_steps: int) -> None:
        self._steps += num_steps
        if time.monotonic() >= self._window[1] and (self._window[1] or self._steps >= _WARM_STEPS):
            self._rest()

    def _rest(self) -> None:
        """Tell what was done, and wait for the next window and its beginning."""
        self._pipe.send(self._count())
        self._window = self._pipe.recv()
        self._steps = 0
        self._ends.clear()
        time.sleep(max(0.0, self._window[0] - time.monotonic()))

    def _count(self) -> Count:
        cuda = self._device == "cuda"
        if cuda:
            torch.cuda.synchronize()
        seconds = time.monotonic() - self._window[0]
        return Count(
            steps=self._steps,
            seconds=seconds,
            segments=max(0, len(self._ends) - 1),
            segments_s=self._ends[-1] - self._ends[0] if self._ends else 0.0,
            memory_bytes=torch.cuda.max_memory_reserved()
            if cuda
            else _proc("self/status", "VmHWM"),
            free_bytes=torch.cuda.mem_get_info()[0] if cuda else _proc("meminfo", "MemAvailable"),
            refused=int(torch.cuda.memory_stats().get("num_ooms", 0)) if cuda else 0,
        )


def _proc(file: str, name: str) -> int:
    """Return a number of bytes that Linux tells; 0 where it is not told."""
    with suppress(OSError):
        for line in Path("/proc", file).read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
