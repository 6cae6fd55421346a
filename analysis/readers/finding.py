"""The files below the folders that are read, and which of them are passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from analysis.readers.text import clean

_NO_FILE = "not a file: a socket, pipe or device"


@dataclass(frozen=True)
class Found:
    """A file: where it lies, its name as it is shown, or why it is not read."""

    path: Path
    name: PurePosixPath
    reason: str = ""
    root: str = ""
    """Name of the folder that is read, for a run that lies in it directly."""


def find(paths: Sequence[Path]) -> Iterator[Found]:
    """Yield all files in and below `paths`, sorted, each once.

    Names are relative to the path; where there are several, they begin with its name. Links are
    followed only as `paths` themselves, never below: what they name is read in its own place, or
    lies outside.
    """
    seen: set[str] = set()
    for path, prefix in zip(paths, _prefixes(paths), strict=True):
        root = path.resolve()
        for found in _below(root, prefix if len(paths) > 1 else PurePosixPath(), prefix.name):
            if (place := str(found.path)) not in seen:
                seen.add(place)
                yield found


def _prefixes(paths: Sequence[Path]) -> list[PurePosixPath]:
    """Return a name for each path: its last part, or as many parts as tell it from the others."""
    resolved = [path.resolve() for path in paths]
    names = []
    for path in resolved:
        others = {other for other in resolved if other != path}
        num = 1
        while num < len(path.parts) and any(o.parts[-num:] == path.parts[-num:] for o in others):
            num += 1
        names.append(PurePosixPath(*(clean(part) for part in path.parts[-num:] if part != "/")))
    return names


def _below(root: Path, prefix: PurePosixPath, name: str) -> Iterator[Found]:
    if not root.is_dir():
        reason = "" if root.is_file() else _NO_FILE
        yield Found(root, (prefix.parent if prefix.parts else prefix) / clean(root.name), reason)
        return
    waiting = [(root, prefix)]
    while waiting:
        folder, shown = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, shown, f"a folder that cannot be read: {error.strerror}")
            continue
        inner = []
        for entry in entries:
            path, place = folder / entry.name, shown / clean(entry.name)
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                inner.append((path, place))
            else:
                yield Found(path, place, _why_not(root, path, entry), name)
        waiting += reversed(inner)


def _why_not(root: Path, path: Path, entry: os.DirEntry[str]) -> str:
    """Say why an entry of a folder is not read, "" for a file."""
    if entry.is_symlink():
        return _why_link(root, path)
    if entry.is_dir(follow_symlinks=False):
        return "a hidden folder"
    return "" if entry.is_file(follow_symlinks=False) else _NO_FILE


def _why_link(root: Path, path: Path) -> str:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "a link to nothing"
    return "a link inside the folder" if target.is_relative_to(root) else "a link out of the folder"
