"""Whole files below a path or URL, on any file system that pyarrow speaks."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import IO, Any

from pyarrow import fs

from training.errors import UserError
from training.hidden import hidden, hidden_in, whole
from training.sizes import shown_bytes
from training.trouble import Patience, StoreFull, default_s

_CHECK_S = 20.0
STORE = "THAW_STORE"
"""Environment variable with the URL of a store whose password was not written down."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Writer = Callable[[IO[bytes]], object]
"""Writes to a file that can seek; it may be called again where storage failed."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as a listing shows it."""

    path: str
    """Relative to the folder of the `Files`."""
    num_bytes: int
    modified_s: float
    """Seconds since 1970; now, where the file system does not tell."""


class Files:
    """Files below one folder: read, written whole or not at all, listed, deleted.

    Storage that fails for a while is tried again for `patience_s` seconds, by default those of the
    environment. Whatever asks it for anything raises `StoreLost` where it fails for good.
    """

    def __init__(self, url: str, *, kind: str = "store", patience_s: float | None = None) -> None:
        """Name a folder; it is made with its first file. `kind` is what messages call it.

        A URL with stars for its password is that in `THAW_STORE`; see `training.hidden`.
        """
        if kind == "store":
            url = whole(url, STORE, kind)
        elif hidden(url) != url:
            raise UserError(
                f"{kind}: its URL holds a secret; give credentials by the environment "
                "(AWS_ACCESS_KEY_ID, AWS_PROFILE, ...) or by the machine's role"
            )
        self._url = hidden(url)
        self._name = f"{kind} {self._url!r}"
        self._fs, self._root = _opened(url, kind)
        self.local = isinstance(self._fs, fs.LocalFileSystem)
        self._limit_s = default_s() if patience_s is None else patience_s
        self._patience = Patience(self._name, self._limit_s, Random())

    def check(self) -> None:
        """Raise `StoreLost` where the storage does not answer in 20 s, or has no such bucket."""
        if not self.local:
            selector = fs.FileSelector(self._root, recursive=False)
            first = Patience(self._name, min(_CHECK_S, self._limit_s), Random())
            with suppress(FileNotFoundError):
                first.call(lambda: self._fs.get_file_info(selector))

    def num_bytes(self, path: str) -> int | None:
        """Return the size of a file without reading it, or None where there is none."""
        info = self._patience.call(lambda: self._fs.get_file_info(self.full(path)))
        return int(info.size) if info.type == fs.FileType.File else None

    def is_folder(self) -> bool:
        """Tell whether the folder is there."""
        info = self._patience.call(lambda: self._fs.get_file_info(self._root))
        return bool(info.type == fs.FileType.Directory)

    def listing(self, folder: str = "") -> list[File]:
        """Return every file below `folder`; none where there is no such folder."""
        top = self.full(folder).rstrip("/")
        selector = fs.FileSelector(top, recursive=True, allow_not_found=True)
        infos = self._patience.call(lambda: self._fs.get_file_info(selector))
        now, start = time.time(), len(self._root.rstrip("/")) + 1
        return [
            File(
                path=info.path[start:],
                num_bytes=info.size,
                modified_s=info.mtime_ns / 1e9 if info.mtime_ns else now,
            )
            for info in infos
            if info.type == fs.FileType.File
        ]

    def read(self, path: str) -> bytes | None:
        """Return what is in a file, or None where there is none."""
        try:
            return self._patience.call(lambda: self._read(path))
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes | Writer) -> None:
        """Write a file that is seen whole or not at all; raise `StoreFull` where there is no room.

        On a disk it is written aside and renamed, by a `Writer` without a copy in memory.
        """
        write: Writer = (lambda file: file.write(data)) if isinstance(data, bytes) else data
        self._patience.call(lambda: (self._replace if self.local else self._put)(path, write))

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        with suppress(FileNotFoundError):
            self._patience.call(lambda: self._fs.delete_file(self.full(path)))

    def touch(self, path: str) -> None:
        """Note a use of the file in its time, where the file system can."""
        if self.local:
            with suppress(OSError):  # a store that may only be read
                os.utime(self.full(path))

    def full(self, path: str) -> str:
        """Return the path as the file system knows it."""
        return f"{self._root.rstrip('/')}/{path}"

    def _read(self, path: str) -> bytes:
        with self._fs.open_input_file(self.full(path)) as file:
            return bytes(file.read())

    def _replace(self, path: str, write: Writer) -> None:
        target = self.full(path)
        aside = f"{target}.{uuid.uuid4().hex}"
        num_bytes = 0
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(aside, "xb") as file:
                try:
                    write(file)
                finally:
                    num_bytes = file.tell()
            os.replace(aside, target)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise self._no_room(num_bytes, os.strerror(error.errno)) from None
        finally:
            with suppress(FileNotFoundError):
                os.unlink(aside)

    def _put(self, path: str, write: Writer) -> None:
        """Write an object, and let a Ctrl-C that comes in between wait for it.

        Whatever ends a pyarrow stream, its `with` and its destructor too, completes the object with
        what was written so far; there is no way to call it off.
        """
        buffer = io.BytesIO()
        write(buffer)
        with _uninterrupted():
            stream = self._fs.open_output_stream(self.full(path))
            stream.write(buffer.getbuffer())
            stream.close()

    def _no_room(self, num_bytes: int, reason: str) -> StoreFull:
        free = shutil.disk_usage(_existing(self._root)).free
        return StoreFull(
            f"{self._name}: no room for {shown_bytes(num_bytes)} or more ({reason}; "
            f"{shown_bytes(free)} free); what is in it is whole: make room, for example by "
            f"`thaw store prune {self._url} --budget SIZE`, and go on"
        )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let signals that Python code handles wait until the block has ended.

    Such code runs in the main thread only; elsewhere nothing comes in between.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before: dict[int, Any] = {}
    try:
        for name in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := signal.getsignal(name)):
                before[name] = handler
                signal.signal(name, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _existing(folder: str) -> str:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _opened(url: str, kind: str) -> tuple[Any, str]:
    """Return the file system and the path that a URL means; raise `UserError` where it cannot."""
    try:
        opened: tuple[Any, str] = fs.FileSystem.from_uri(
            _in_one_put(url) if "://" in url else os.path.abspath(url)
        )
    except (ValueError, OSError) as error:
        raise UserError(f"{kind} {hidden(url)!r}: {hidden_in(str(error), url)}") from None
    return opened


def _in_one_put(url: str) -> str:
    """Let S3 take a file of up to some megabytes in one request, not in three."""
    if not url.startswith("s3://") or "allow_delayed_open" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}allow_delayed_open=true"
