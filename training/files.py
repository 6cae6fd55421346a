"""Whole files below a path or URL, on any file system that pyarrow speaks."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass

from pyarrow import fs

from training.errors import UserError
from training.hidden import hidden, hidden_in, whole
from training.sizes import shown_bytes

STORE = "THAW_STORE"
"""Environment variable with the URL of a store whose password was not written down."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreFull(UserError):
    """There is no room for a file; what was there before still is, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as a listing shows it."""

    path: str
    """Relative to the folder of the `Files`."""
    num_bytes: int
    modified_s: float
    """Seconds since 1970; now, where the file system does not tell."""


class Files:
    """Files below one folder: read, written whole or not at all, listed, deleted."""

    def __init__(self, url: str) -> None:
        """Name a folder; it is made with its first file.

        A URL with stars for its password is that in `THAW_STORE`; see `training.hidden`.
        """
        url = whole(url, STORE, "store")
        self._url = hidden(url)
        try:
            self._fs, self._root = fs.FileSystem.from_uri(
                url if "://" in url else os.path.abspath(url)
            )
        except (ValueError, OSError) as error:
            raise UserError(f"store {self._url!r}: {hidden_in(str(error), url)}") from None
        self.local = isinstance(self._fs, fs.LocalFileSystem)

    def num_bytes(self, path: str) -> int | None:
        """Return the size of a file without reading it, or None where there is none."""
        info = self._fs.get_file_info(self.full(path))
        return int(info.size) if info.type == fs.FileType.File else None

    def is_folder(self) -> bool:
        """Tell whether the folder is there."""
        return bool(self._fs.get_file_info(self._root).type == fs.FileType.Directory)

    def listing(self, folder: str = "") -> list[File]:
        """Return every file below `folder`; none where there is no such folder."""
        top = self.full(folder).rstrip("/")
        infos = self._fs.get_file_info(fs.FileSelector(top, recursive=True, allow_not_found=True))
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
            with self._fs.open_input_file(self.full(path)) as file:
                return bytes(file.read())
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes) -> None:
        """Write a file aside and rename it; raise `StoreFull` where there is no room."""
        if not self.local:  # an object appears whole or not at all
            with self._fs.open_output_stream(self.full(path)) as file:
                file.write(data)
            return
        target = self.full(path)
        aside = f"{target}.{uuid.uuid4().hex}"
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(aside, "xb") as file:
                file.write(data)
            os.replace(aside, target)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise self._no_room(len(data), os.strerror(error.errno)) from None
        finally:
            with suppress(FileNotFoundError):
                os.unlink(aside)

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        with suppress(FileNotFoundError):
            self._fs.delete_file(self.full(path))

    def touch(self, path: str) -> None:
        """Note a use of the file in its time, where the file system can."""
        if self.local:
            with suppress(OSError):  # a store that may only be read
                os.utime(self.full(path))

    def full(self, path: str) -> str:
        """Return the path as the file system knows it."""
        return f"{self._root.rstrip('/')}/{path}"

    def _no_room(self, num_bytes: int, reason: str) -> StoreFull:
        free = shutil.disk_usage(_existing(self._root)).free
        return StoreFull(
            f"store {self._url!r}: no room for {shown_bytes(num_bytes)} ({reason}; "
            f"{shown_bytes(free)} free); what is in it is whole: make room, for example by "
            f"`thaw store prune {self._url} --budget SIZE`, and go on"
        )


def _existing(folder: str) -> str:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder
