"""Results at a URL: a search writes to a folder of this machine, and the URL gets a copy of it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path

from thaw.at_work import working_in
from thaw.reading import SEARCH
from training.decoded import cache_folder
from training.errors import UserError
from training.files import Files
from training.hidden import hidden
from training.trouble import StoreLost, StoreTrouble

SYNC_S = 15.0
"""Seconds between two copies; what a machine that is lost had written after the last is lost."""
_DATABASE = ".db"
_PASSING = (".db-journal", ".db-wal", ".db-shm", ".new")
"""Ends of names of what SQLite, or a write aside, has for a moment."""
_log = logging.getLogger("thaw.results")


def is_url(out: str) -> bool:
    """Tell whether a place for results is a URL."""
    return "://" in out


def local_folder(out: str) -> Path:
    """Return the folder of results; that of a URL is in the user's cache, and one for each URL."""
    if not is_url(out):
        return Path(out).absolute()
    return cache_folder() / "results" / hashlib.sha256(out.encode()).hexdigest()[:16]


def folder_of(out: str) -> Path:
    """Return the folder at a path; raise `UserError` where there can be none.

    Nor can there be one at a URL, which `thaw search` alone takes.
    """
    if is_url(out):
        raise UserError(
            f"--out {hidden(out)}: must be a folder; only `thaw search` has results at a URL"
        )
    folder = Path(out).absolute()
    for place in (folder, *folder.parents):
        if os.path.exists(place) and not os.path.isdir(place):
            raise UserError(f"--out {out}: {place} is no folder; name a new one")
    return folder


@contextmanager
def results_folder(out: str, *, is_new: bool = False) -> Iterator[Path]:
    """Yield the folder to write results to; what it holds is at `out` within seconds.

    For a URL it begins with what is there. Raises `UserError` where it `is_new` and there is
    anything, or where another process of this machine works in it, and `StoreTrouble` where the URL
    cannot be read, or where at the end it cannot be written: then the folder stays, and the message
    names it.
    """
    folder = local_folder(out) if is_url(out) else folder_of(out)
    mirror = Mirror(out, folder) if is_url(out) else None
    with working_in(folder, out):
        if is_new:
            _check_empty(out, mirror.names() if mirror else _names(folder))
        with _mirrored(mirror) if mirror else nullcontext():
            yield folder


def _check_empty(out: str, names: Sequence[str]) -> None:
    if names:
        hint = f", or go on with --resume {out}" if SEARCH in names else ""
        raise UserError(f"--out {out}: is not empty; name a new folder{hint}")


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.exists() else []


@contextmanager
def _mirrored(mirror: Mirror) -> Iterator[None]:
    mirror.fetch()
    try:
        with _synced_meanwhile(mirror):
            yield
    except BaseException:
        with suppress(StoreTrouble):  # what went wrong first is what must be told
            mirror.sync_last()
        raise
    mirror.sync_last()


def fetched(out: str) -> Path:
    """Return the folder with results that are at a path or URL, fetched from there.

    Raises `UserError` for a URL whose folder another process works in.
    """
    folder = local_folder(out)
    if is_url(out):
        with working_in(folder, out):
            Mirror(out, folder).fetch()
    return folder


class Mirror:
    """A folder and its copy at a URL, file by file; each is seen there whole or not at all."""

    def __init__(self, url: str, folder: Path) -> None:
        """Nothing is read or written yet."""
        self.url = url
        self.folder = folder
        self._files = Files(url, kind="results")
        self._ahead = folder.with_name(f"{folder.name}.ahead")
        self._there: dict[str, tuple[int, int]] = {}
        """Path -> size in bytes and time in ns of what was copied last."""

    def names(self) -> list[str]:
        """Return the paths of the files that `fetch` would leave in the folder, reading none."""
        self._files.check()
        if self._ahead.exists():
            return _names(self.folder)
        return [file.path for file in self._files.listing()]

    def fetch(self) -> None:
        """Make the folder hold what is at the URL, and nothing else, unless it is ahead of it.

        Raises `UserError` for a name that leads out of the folder.
        """
        self._files.check()
        if self._ahead.exists():
            return
        _empty(self.folder)
        root = self.folder.resolve()
        for file in self._files.listing():
            path = self.folder / file.path
            if not path.resolve().is_relative_to(root):
                raise UserError(f"results {self.url!r}: {file.path!r} leads out of their folder")
            data = self._files.read(file.path)
            if data is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        self._there = self._here()

    def sync(self) -> None:
        """Copy what is new or has changed to the URL, and delete there what is gone here.

        Until that has succeeded the folder is ahead of the URL, and the next `fetch` on this
        machine leaves it as it is.
        """
        self._ahead.touch()
        here = self._here()
        for path, state in here.items():
            if self._there.get(path) != state:
                with suppress(FileNotFoundError):  # a trial that starts again removes its files
                    self._files.write(path, _content(self.folder / path))
                    self._there[path] = state
        for path in set(self._there) - set(here):
            self._files.delete(path)
            del self._there[path]
        self._ahead.unlink(missing_ok=True)

    def sync_last(self) -> None:
        """Copy what has changed; where that fails, say where the results are."""
        try:
            self.sync()
        except StoreTrouble as error:
            raise type(error)(f"{error}; the results are in {self.folder}") from None
        except (sqlite3.Error, OSError) as error:
            raise StoreLost(f"{error}; the results are in {self.folder}") from None

    def _here(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file() and not path.name.endswith(_PASSING):
                    stat = path.stat()
                    found[path.relative_to(self.folder).as_posix()] = (
                        stat.st_size,
                        stat.st_mtime_ns,
                    )
        return found


def _empty(folder: Path) -> None:
    """Leave nothing in a folder; it stays itself, and is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _content(path: Path) -> bytes:
    """Return what is in a file; of a database, a copy that is whole while others write to it."""
    if path.suffix != _DATABASE:
        return path.read_bytes()
    with tempfile.TemporaryDirectory() as aside:
        copy = Path(aside) / path.name
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        return copy.read_bytes()


@contextmanager
def _synced_meanwhile(mirror: Mirror) -> Iterator[None]:
    """Copy every few seconds, in a thread."""
    over = threading.Event()
    thread = threading.Thread(target=_sync_until, args=(mirror, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _sync_until(mirror: Mirror, over: threading.Event) -> None:
    """Copy again and again; where that fails, here or at the URL, the search goes on without."""
    while not over.wait(SYNC_S):
        try:
            mirror.sync()
        except (StoreTrouble, sqlite3.Error, OSError) as error:
            _log.warning("%s; the results stay in %s for now", error, mirror.folder)
