"""The watchdog of a training process: it names and kills one that hangs, so that work goes on.

Ray notices processes that are dead or do not answer. One that answers and waits for ever, for a
collective whose other end is gone or for a file that never comes, it takes for healthy.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from training.pulse import beat, silence_s

_LOOKS = 20
"""Looks at the pulse within the time that a silence may last."""


class Watchdog:
    """A thread that kills this process where the work has no pulse for `limit_s` seconds."""

    def __init__(self, limit_s: float, tell: Callable[[str], None], name: str) -> None:
        """Watch over nothing yet; `tell` is called with the name of the worker before the end."""
        self._limit_s = limit_s
        self._tell = tell
        self._name = name
        self._at_work = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch over what is done within."""
        beat()
        self._at_work.set()
        try:
            yield
        finally:
            self._at_work.clear()

    def _watch(self) -> None:
        while True:
            self._at_work.wait()
            time.sleep(self._limit_s / _LOOKS)
            silent_s = silence_s()
            if self._at_work.is_set() and silent_s > self._limit_s:
                with suppress(Exception):  # nobody there to be told: it must end all the same
                    self._tell(f"{self._name} hung: no step for {silent_s:.0f} s; it was killed")
                os.kill(os.getpid(), signal.SIGKILL)
