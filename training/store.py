"""The store: key -> record (always kept) and state (weights and optimizer).

A folder for each key holds `record.json` and `state`. Both are written aside and renamed, the
record last; both carry a SHA-256. What does not match its checksum counts as absent. States are
read by `torch.load(weights_only=True)` and nothing is ever unpickled. It lives on any file system
that pyarrow speaks: a local disk, NFS, S3, GCS.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
from pickle import UnpicklingError
from typing import Any

import torch
from pyarrow import fs

from training.errors import UserError
from training.record import Record

_DIGEST_BYTES = 64


class Store:
    """Records and states of segments by key."""

    def __init__(self, url: str) -> None:
        """Open the store at a path or URL; made when the first segment is published."""
        self.url = url
        try:
            self._fs, self._root = fs.FileSystem.from_uri(
                url if "://" in url else os.path.abspath(url)
            )
        except (ValueError, OSError) as error:
            raise UserError(f"store {url!r}: {error}") from None
        self._local = isinstance(self._fs, fs.LocalFileSystem)
        self._records: dict[str, Record] = {}

    def record(self, key: str) -> Record | None:
        """Return the record of `key`, or None where there is none or it is damaged."""
        if key not in self._records:
            found = self._read_record(key)
            if found is None:
                return None
            self._records[key] = found
        return self._records[key]

    def has_state(self, key: str) -> bool:
        """Tell whether there is a state of `key`, without reading it."""
        return bool(self._fs.get_file_info(self._path(key, "state")).type == fs.FileType.File)

    def state(self, key: str) -> dict[str, Any] | None:
        """Return the state of `key` on the CPU, or None where there is none or it is damaged."""
        data = self._read(self._path(key, "state"))
        if data is None:
            return None
        digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(payload).hexdigest().encode() != digest:
            return None
        try:
            state: dict[str, Any] = torch.load(
                io.BytesIO(payload), map_location="cpu", weights_only=True
            )
        except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
            return None  # whole, but no state: somebody else's file
        return state

    def publish(self, record: Record, state: dict[str, Any]) -> None:
        """Write state and record, the record last; whoever sees a record sees it whole."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        digest = hashlib.sha256(payload).hexdigest().encode()
        self._write(self._path(record.key, "state"), digest + payload)
        body = record.plain()
        text = json.dumps({"sha256": _digest(body), "record": body}, indent=1)
        self._write(self._path(record.key, "record.json"), text.encode())
        self._records[record.key] = record

    def _read_record(self, key: str) -> Record | None:
        data = self._read(self._path(key, "record.json"))
        if data is None:
            return None
        try:
            envelope = json.loads(data)
            record = Record.from_plain(envelope["record"])
            whole = envelope["sha256"] == _digest(envelope["record"]) and record.key == key
        except (ValueError, KeyError, TypeError):
            return None
        return record if whole else None

    def _path(self, key: str, name: str) -> str:
        return f"{self._root}/{key[:2]}/{key}/{name}"

    def _read(self, path: str) -> bytes | None:
        try:
            with self._fs.open_input_file(path) as file:
                return bytes(file.read())
        except FileNotFoundError:
            return None

    def _write(self, path: str, data: bytes) -> None:
        if not self._local:  # an object appears whole or not at all
            with self._fs.open_output_stream(path) as file:
                file.write(data)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        aside = f"{path}.{uuid.uuid4().hex}"
        try:
            with open(aside, "xb") as file:
                file.write(data)
            os.replace(aside, path)
        finally:
            if os.path.exists(aside):
                os.unlink(aside)


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
