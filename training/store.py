"""The store: key -> record (always kept) and state (weights and optimizer).

A folder for each key holds `record.json` and `state`. Both are written aside and renamed, the
record last; both carry a SHA-256. What does not match its checksum counts as absent. States are
read by `torch.load(weights_only=True)` and nothing is ever unpickled. It lives on any file system
that pyarrow speaks: a local disk, NFS, S3, GCS.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

from training.encoding import decode_record, decode_state, encode_record, encode_state
from training.errors import UserError
from training.files import File, Files
from training.hidden import hidden
from training.record import Record
from training.trouble import StoreFull, StoreTrouble

LITTER_S = 600.0
"""Age in seconds from which an unfinished write, or a lease, belongs to nobody any more."""

_READERS = 16
_NAME = re.compile(r"[0-9a-f]{2}/([0-9a-f]{64})/(record\.json|state)(\.[0-9a-f]{32})?")
_KEY = re.compile(r"[0-9a-f]{64}")
_LEASE = re.compile(r"leases/[^/]+\.json(\.[0-9a-f]{32})?")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the store holds of one key."""

    key: str
    record_bytes: int
    """0 where there is no record."""
    state_bytes: int
    """0 where there is no state."""
    used_s: float
    """When the state was last written or read, in seconds since 1970."""


class Store:
    """Records and states of segments by key."""

    def __init__(self, url: str, *, patience_s: float | None = None) -> None:
        """Open the store at a path or URL; made when the first segment is published.

        Storage that fails is tried again for `patience_s` seconds: see `Files`.
        """
        self.files = Files(url, patience_s=patience_s)
        self.url = hidden(url)
        """What it is called: its path or URL, without a password."""
        self._records: dict[str, Record] = {}

    def record(self, key: str) -> Record | None:
        """Return the record of `key`, or None where there is none or it is damaged."""
        if key not in self._records:
            data = self.files.read(_path(key, "record.json"))
            found = None if data is None else decode_record(key, data)
            if found is None:
                return None
            self._records[key] = found
        return self._records[key]

    def records(self, keys: Iterable[str]) -> dict[str, Record]:
        """Return the records of those of `keys` that have a whole one, many read at a time."""
        wanted = list(keys)
        unread = [key for key in wanted if key not in self._records]
        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(self.record, unread))
        return {key: self._records[key] for key in wanted if key in self._records}

    def has_state(self, key: str) -> bool:
        """Tell whether there is a state of `key`, without reading it."""
        return self.files.num_bytes(_path(key, "state")) is not None

    def state_bytes(self, key: str) -> int:
        """Return the size of the state of `key`, without reading it; 0 where there is none."""
        return self.files.num_bytes(_path(key, "state")) or 0

    def state(self, key: str) -> dict[str, Any] | None:
        """Return the state of `key` on the CPU, or None where there is none or it is damaged."""
        data = self.files.read(_path(key, "state"))
        found = None if data is None else decode_state(data)
        if found is not None:
            self.files.touch(_path(key, "state"))
        return found

    def publish(self, record: Record, state: dict[str, Any]) -> None:
        """Write state and record, the record last; whoever sees a record sees it whole.

        Raises `StoreTrouble` where that cannot be: `StoreFull` where there is no room, and then
        nothing new is left in the store. A state whose record is lost is not seen, and is replaced.
        """
        self.publish_state(record.key, state)
        self.publish_record(record)

    def publish_state(self, key: str, state: dict[str, Any], stop: Event | None = None) -> None:
        """Write the state of a segment, which nobody sees before the record is there.

        Raises `StoreTrouble` as `publish` does, and `Stopped` soon after `stop` is set.
        """
        self.files.write(_path(key, "state"), partial(encode_state, state, stop=stop))

    def publish_record(self, record: Record) -> None:
        """Write the record of a segment whose state is written; raises `StoreTrouble` likewise."""
        try:
            self.files.write(_path(record.key, "record.json"), encode_record(record))
        except StoreFull:
            self.forsake(record.key)
            raise
        self._records[record.key] = record

    def forsake(self, key: str) -> None:
        """Delete the state of `key`, if it can be, unless there is a record of it."""
        with suppress(StoreTrouble):
            if self.record(key) is None:
                self.drop_state(key)

    def drop_state(self, key: str) -> None:
        """Delete the state of `key`, if there is one; its record stays."""
        self.files.delete(_path(key, "state"))

    def entries(self) -> list[Entry]:
        """Return what is there of every key, from one listing; nothing is read."""
        found: dict[str, dict[str, File]] = {}
        for file in self.files.listing():
            match = _NAME.fullmatch(file.path)
            if match and not match[3]:
                found.setdefault(match[1], {})[match[2]] = file
        return [_entry(key, files) for key, files in found.items()]

    def litter(self) -> list[str]:
        """Return the paths of what killed processes left: old unfinished writes and leases."""
        before = time.time() - LITTER_S
        return [
            file.path
            for file in self.files.listing()
            if file.modified_s < before and (_unfinished(file.path) or _LEASE.fullmatch(file.path))
        ]

    def damage(self, entry: Entry) -> list[str]:
        """Read the files of `entry` and return the paths of those that are damaged."""
        decoders = {
            "record.json": lambda data: decode_record(entry.key, data),
            "state": decode_state,
        }
        paths = {_path(entry.key, name): decode for name, decode in decoders.items()}
        return [
            path
            for path, decode in paths.items()
            if (data := self.files.read(path)) is not None and decode(data) is None
        ]


def _path(key: str, name: str) -> str:
    """Return where a file of `key` is; a key from a table that was changed leads nowhere else."""
    if not _KEY.fullmatch(key):
        raise UserError(f"store: {key!r} is no key; a key is 64 hexadecimal digits")
    return f"{key[:2]}/{key}/{name}"


def _entry(key: str, files: dict[str, File]) -> Entry:
    record, state = files.get("record.json"), files.get("state")
    return Entry(
        key=key,
        record_bytes=record.num_bytes if record else 0,
        state_bytes=state.num_bytes if state else 0,
        used_s=state.modified_s if state else 0.0,
    )


def _unfinished(path: str) -> bool:
    match = _NAME.fullmatch(path)
    return match is not None and match[3] is not None
