"""The files below the folders that are read, and which of them are passed over."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from analysis.readers.text import clean


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
        yield _file(root, root, (prefix.parent if prefix.parts else prefix) / clean(root.name), "")
        return
    refused: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=refused.append):
        here = Path(folder)
        shown = prefix / PurePosixPath(*map(clean, here.relative_to(root).parts))
        links = [entry for entry in folders if (here / entry).is_symlink()]
        hidden = [entry for entry in folders if entry.startswith(".") and entry not in links]
        folders[:] = sorted(set(folders).difference(links, hidden))
        for entry in hidden:
            yield Found(here / entry, shown / clean(entry), "a hidden folder")
        for entry in sorted([*files, *links]):
            yield _file(root, here / entry, shown / clean(entry), name)
    for error in refused:
        path = Path(error.filename)
        shown = prefix / PurePosixPath(*map(clean, path.relative_to(root).parts))
        yield Found(path, shown, f"a folder that cannot be read: {error.strerror}")


def _file(root: Path, path: Path, name: PurePosixPath, root_name: str) -> Found:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        return Found(path, name, f"cannot be read: {error.strerror}")
    if stat.S_ISLNK(mode):
        return Found(path, name, _why_link(root, path))
    reason = "" if stat.S_ISREG(mode) else "not a file: a socket, pipe or device"
    return Found(path, name, reason, root_name)


def _why_link(root: Path, path: Path) -> str:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "a link to nothing"
    return "a link inside the folder" if target.is_relative_to(root) else "a link out of the folder"
