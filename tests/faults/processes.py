"""Finding the processes of one command, whoever their parent is by now."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

_MARK = "THAW_TEST_MARK"


def marked_environment() -> tuple[dict[str, str], str]:
    """Return an environment with a mark that all descendants inherit, and the mark."""
    mark = uuid.uuid4().hex
    return {**os.environ, _MARK: mark}, mark


def alive(mark: str) -> dict[int, str]:
    """Return pid -> command line of the living processes with the mark; zombies do not count."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f"{_MARK}={mark}" in (folder / "environ").read_text():
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except (OSError, UnicodeDecodeError):
            continue
    return found


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait until `condition` holds; fail with `what` after the time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.05)
