"""Leases: what each search on a store needs now, so that no other search drops it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable

from training.store import LITTER_S, Store

RENEW_S = 60.0
"""Age in seconds at which a lease is written again although nothing was added to it."""


class Lease:
    """The file `leases/<name>.json` of one search, from its first `renew` to its `release`.

    It counts for ten minutes after it was written. A state that is dropped all the same (a clock
    that is wrong, a search that was suspended) is trained again: a lease saves work, and nothing
    rests on it.
    """

    def __init__(self, store: Store, name: str | None = None) -> None:
        """Take a lease; nothing is written yet. `name` is unique among searches."""
        self._store = store
        self.name = name or uuid.uuid4().hex
        self._written: frozenset[str] = frozenset()
        self._written_s = 0.0

    def renew(self, keys: Iterable[str]) -> None:
        """Say that the states of `keys` are needed; call it at least every few minutes.

        It writes only where a key is new or the file is a minute old, so it may be called often.
        Raises `StoreTrouble` where it cannot be written.
        """
        wanted, now = frozenset(keys), time.time()
        if wanted <= self._written and now - self._written_s < RENEW_S:
            return
        body = json.dumps({"at": now, "keys": sorted(wanted)})
        self._store.files.write(_path(self.name), body.encode())
        self._written, self._written_s = wanted, now

    def release(self) -> None:
        """Give the lease back."""
        self._store.files.delete(_path(self.name))
        self._written, self._written_s = frozenset(), 0.0


def leased(store: Store, *, but: str | None = None) -> frozenset[str]:
    """Return the keys in all leases that are fresh, except the one named `but`."""
    paths = [file.path for file in store.files.listing("leases") if file.path.endswith(".json")]
    keys: set[str] = set()
    for path in paths:
        if path != _path(but or ""):
            keys.update(_fresh_keys(store.files.read(path)))
    return frozenset(keys)


def _fresh_keys(data: bytes | None) -> list[str]:
    """Return the keys of a lease; none where it is stale, from the future, gone or damaged."""
    try:
        body = json.loads(data or b"{}")
        fresh = abs(time.time() - float(body["at"])) < LITTER_S
        return [str(key) for key in body["keys"]] if fresh else []
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return []


def _path(name: str) -> str:
    return f"leases/{name}.json"
