"""Records and states as bytes with their own SHA-256; what does not match is not read."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import torch

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


def encode_state(state: dict[str, Any]) -> bytes:
    """Return the checksum of the state as torch saves it, and the state."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    return hashlib.sha256(payload).hexdigest().encode() + payload


def decode_state(data: bytes) -> dict[str, Any] | None:
    """Return the state in `data` on the CPU, or None where it is damaged; nothing is unpickled."""
    digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        return None
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception:  # whole, but no state: somebody else's file, at which torch fails in any way
        return None
    return state if isinstance(state, dict) else None


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
