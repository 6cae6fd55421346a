"""Saving beside the evaluation: the state after the last step is written while it is evaluated."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

import torch

from training.store import Store

_GRACE_S = 10.0
"""How long a writing that is called off is waited for; it notices within one tensor."""


class Saving:
    """Writes a state in a thread of its own for the length of a `with`, which must not change it.

    Leaving waits for the rest and raises what went wrong (`StoreTrouble`). Where the body fails, or
    Ctrl-C ends it, the writing is called off and the state is not left behind.
    """

    def __init__(self, store: Store, key: str, state: dict[str, Any]) -> None:
        """Save `state`, on any device, as that of the segment `key`."""
        self.write_s = 0.0
        """Seconds that encoding and writing took."""
        self.save_s = 0.0
        """Seconds of them that nothing else was done in."""
        self._store = store
        self._key = key
        self._state = state
        self._stop = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._write, args=(_stream(),), name="saving", daemon=True)

    def __enter__(self) -> Self:
        """Begin to write."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait until all is written, or call it off where the body failed."""
        try:
            if kind is None:
                began_s = time.perf_counter()
                self._thread.join()
                self.save_s = time.perf_counter() - began_s
        finally:
            if kind is not None or self._thread.is_alive():
                self._call_off()
        if kind is None and self._error is not None:
            raise self._error

    def _call_off(self) -> None:
        self._stop.set()
        self._thread.join(_GRACE_S)
        if not self._thread.is_alive() and self._error is None:
            self._store.forsake(self._key)

    def _write(self, stream: AbstractContextManager[object]) -> None:
        began_s = time.perf_counter()
        try:
            with stream:
                self._store.publish_state(self._key, self._state, self._stop)
        except BaseException as error:
            self._error = error
        self.write_s = time.perf_counter() - began_s


def _stream() -> AbstractContextManager[object]:
    """Return a stream on which copies from the GPU do not queue up behind the evaluation."""
    if not torch.cuda.is_initialized():
        return nullcontext()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    return torch.cuda.stream(stream)
