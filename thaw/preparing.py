"""What a task makes of its data before it can begin, shown with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from thaw.console import PlainConsole
from training.config import Config

Prepare = Callable[[Config, Callable[[int, int], None]], None]


def prepare(module: Any, config: Config) -> None:
    """Let a system decode the data of `config`, where it wants to; nothing is shown if it need not.

    Goes to stderr: what a command prints stays its own.
    """
    wanted: Prepare | None = getattr(module, "prepare", None)
    if wanted is None:
        return
    bar = Bar(PlainConsole(stderr=True))
    try:
        wanted(config, bar)
    finally:
        bar.close()


class Bar:
    """Progress of decoding: a bar on a terminal, else a line now and then, and one in the end."""

    def __init__(self, console: Console, every_s: float = 15.0) -> None:
        """Show on `console`; where that is no terminal, a line each `every_s` seconds."""
        self._console = console
        self._every_s = every_s
        self._began_s = self._told_s = time.perf_counter()
        self._done = self._num = 0
        self._progress = Progress(
            TextColumn("decoding images"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __call__(self, done: int, num: int) -> None:
        """Show that `done` of `num` images are decoded."""
        if not self._num:
            self._num = num
            self._task = self._progress.add_task("", total=num)
            self._progress.start()
        self._done = done
        self._progress.update(self._task, completed=done)
        now_s = time.perf_counter()
        if not self._console.is_terminal and done < num and now_s - self._told_s >= self._every_s:
            self._told_s = now_s
            left_s = (now_s - self._began_s) / done * (num - done)
            self._console.print(f"decoding images: {done} of {num}, {left_s:.0f} s left")

    def close(self) -> None:
        """Take the bar away; say how long it took where all are done."""
        self._progress.stop()
        if self._num and self._done == self._num:
            taken_s = time.perf_counter() - self._began_s
            self._console.print(f"decoded {self._num} images in {taken_s:.0f} s, once for all")
