"""Records and states as bytes with their own SHA-256; what does not match is not read."""

from __future__ import annotations

import hashlib
import io
import json
from threading import Event
from typing import IO, Any, cast

from training.record import Record

_DIGEST_BYTES = 64


def encode_record(record: Record) -> bytes:
    """Return the record as JSON beside its checksum."""
    body = record.plain()
    return json.dumps({"sha256": _digest(body), "record": body}).encode()


def decode_record(key: str, data: bytes) -> Record | None:
    """Return the record in `data`, or None where it is damaged or another key's."""
    try:
        envelope = json.loads(data)
        record = Record.from_plain(envelope["record"])
        whole = envelope["sha256"] == _digest(envelope["record"]) and record.key == key
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return record if whole else None


class Stopped(Exception):
    """Nobody wants any more what is being written."""


def encode_state(state: dict[str, Any], file: IO[bytes], stop: Event | None = None) -> None:
    """Write the checksum of the state as torch saves it, and the state, to an empty file.

    Nothing is copied on the way but what lies on a GPU. Raises the `OSError` of the file, and
    `Stopped` soon after `stop` is set.
    """
    import torch

    file.write(bytes(_DIGEST_BYTES))
    hashed = _Hashed(file, stop or Event())
    try:
        torch.save(state, cast(IO[bytes], hashed))
    except Exception:
        if hashed.error is not None:  # torch has words of its own for it
            raise hashed.error from None
        raise
    file.seek(0)
    file.write(hashed.digest.hexdigest().encode())


class _Hashed:
    """What torch saves to: passes on to a file, and notes the checksum and what went wrong."""

    def __init__(self, file: IO[bytes], stop: Event) -> None:
        self._file = file
        self._stop = stop
        self.digest = hashlib.sha256()
        self.error: Exception | None = None

    def write(self, data: memoryview) -> int:
        """Write `data` and return its length."""
        try:
            if self._stop.is_set():
                raise Stopped
            self.digest.update(data)
            self._file.write(data)
        except Exception as error:
            self.error = self.error or error
            raise
        return len(data)

    def flush(self) -> None:
        """Do nothing: whoever closes the file flushes it."""


def decode_state(data: bytes) -> dict[str, Any] | None:
    """Return the state in `data` on the CPU, or None where it is damaged; nothing is unpickled."""
    import torch

    payload = memoryview(data)[_DIGEST_BYTES:]
    if hashlib.sha256(payload).hexdigest().encode() != data[:_DIGEST_BYTES]:
        return None
    file = io.BytesIO(data)  # shares the bytes
    file.seek(_DIGEST_BYTES)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # whole, but no state: somebody else's file, at which torch fails in any way
        return None
    return state if isinstance(state, dict) else None


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
