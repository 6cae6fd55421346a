"""Looks over the shoulder of a test: Python's own audit events tell what is run and written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Watch = list[str]
_RUN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen")
_TOUCHED = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_active: list[tuple[Path, Watch]] = []


@contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    """Collect what is run, unpickled, or changed outside `folder`, in words."""
    found: Watch = []
    _active.append((folder.resolve(), found))
    try:
        yield found
    finally:
        _active.pop()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _active:
        return
    folder, found = _active[-1]
    if event in _RUN or event == "pickle.find_class":
        found.append(f"{event} {arguments}")
    elif event == "open":
        path, mode, flags = arguments
        if (mode and set(mode) & set("wax+")) or (mode is None and flags & _WRITING):
            _note(event, path, folder, found)
    elif event in _TOUCHED or event == "shutil.rmtree":
        _note(event, arguments[0], folder, found)


def _note(event: str, path: Any, folder: Path, found: Watch) -> None:
    """Note a path outside `folder`; descriptors and the null device are nobody's files."""
    if isinstance(path, str | bytes | os.PathLike):
        changed = Path(os.fsdecode(path)).resolve()
        if not changed.is_relative_to(folder) and changed != Path(os.devnull):
            found.append(f"{event} {changed}")


sys.addaudithook(_hook)
