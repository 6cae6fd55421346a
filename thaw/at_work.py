"""One process at a time works in a folder of results."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from training.errors import UserError


@contextmanager
def working_in(folder: Path, named: str | None = None) -> Iterator[None]:
    """Hold the lock of a folder of results; it ends with the process, however that ends.

    Raises `UserError`, which calls the folder `named`, where another process holds it. Where no
    lock can be had (no right to write beside the folder, no locks in its file system), none is.
    """
    lock = _lock(folder)
    with ExitStack() as held:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(lock.open("a"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.callback(lock.unlink, missing_ok=True)
        except BlockingIOError:
            raise UserError(f"{named or folder}: another `thaw` is at work there") from None
        except OSError:
            pass
        yield


def is_at_work(folder: Path) -> bool:
    """Tell whether a process holds the lock of a folder of results."""
    try:
        with _lock(folder).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")
