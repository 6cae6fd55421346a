"""The pulse of a training process: when it last got on with its work.

Whoever watches over the process reads it; the training code beats at each step and each batch of
an evaluation.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")
_last_s = time.monotonic()


def beat() -> None:
    """Note that the work goes on."""
    global _last_s
    _last_s = time.monotonic()


def silence_s() -> float:
    """Return the seconds since the last beat."""
    return time.monotonic() - _last_s


def beating(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield `items`, with a beat before each."""
    for item in items:
        beat()
        yield item
