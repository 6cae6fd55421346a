"""Keeps a store within a number of bytes: lists it, asks `retention`, and drops."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from training.leases import Lease, leased
from training.retention import Node, Protected, to_drop
from training.store import Store

_LIST_EVERY_S = 300.0
_DOWN_TO = 0.9
_GROWN = 0.05


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What pruning did, or would do."""

    dropped: tuple[Node, ...]
    """States, first dropped first."""
    bytes_before: int
    """Bytes of all records and states."""

    @property
    def bytes_after(self) -> int:
        """Return the bytes of what is left."""
        return self.bytes_before - sum(node.state_bytes for node in self.dropped)


def survey(store: Store) -> tuple[list[Node], int]:
    """Return every key of the store as retention sees it, and the bytes of all records."""
    entries = store.entries()
    records = store.records(entry.key for entry in entries if entry.record_bytes)
    nodes = []
    for entry in entries:
        record = records.get(entry.key)
        nodes.append(
            Node(
                key=entry.key,
                parent=record.parent if record else "",
                state_bytes=entry.state_bytes,
                device_s=record.device_s if record else 0.0,
                used_s=entry.used_s,
            )
        )
    return _rooted(nodes), sum(entry.record_bytes for entry in entries)


def _rooted(nodes: list[Node]) -> list[Node]:
    """Return the nodes with no parent where the way up leads back to its beginning.

    Keys are hashes of their parents, so only a record that somebody made up can say so.
    """
    found, settled = {node.key: node for node in nodes}, set[str]()
    for key in found:
        way: dict[str, None] = {}
        while key in found and key not in settled and key not in way:
            way[key] = None
            key = found[key].parent
        if key in way:
            found[key] = replace(found[key], parent="")
        settled.update(way)
    return list(found.values())


def prune(
    store: Store,
    budget_bytes: int,
    protected: Protected | None = None,
    *,
    lease: Lease | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Drop states until records and states have at most `budget_bytes`; see `to_drop`.

    What other searches hold leases on counts as running, and what killed processes left goes too.
    """
    protected = protected or Protected()
    others = leased(store, but=lease.name if lease else None)
    protected = replace(protected, running=protected.running | others)
    nodes, record_bytes = survey(store)
    dropped = to_drop(nodes, budget_bytes - record_bytes, protected)
    if not dry_run:
        for path in store.litter():
            store.files.delete(path)
        for node in dropped:
            store.drop_state(node.key)
    total = record_bytes + sum(node.state_bytes for node in nodes)
    return Pruned(dropped=tuple(dropped), bytes_before=total)


class Budget:
    """The budget of one search: enforced after each result, for little while there is room.

    It counts what this search adds, and lists the store again when that count says that it is full,
    and every five minutes, for what others add. Where the store is full it is pruned to nine tenths
    of the budget, so that not every result must prune.
    """

    def __init__(self, store: Store, budget_bytes: int, lease: Lease) -> None:
        """Nothing is listed before the first `enforce`."""
        self._store = store
        self._budget_bytes = budget_bytes
        self._lease = lease
        self._seen: set[str] = set()
        self._total = 0
        self._limit = budget_bytes
        self._listed_s = -_LIST_EVERY_S

    def enforce(self, key: str, protected: Callable[[], Protected]) -> tuple[Node, ...]:
        """Take in the segment `key`, and return the states that were dropped to make room.

        `protected` is asked only where the store is full.
        """
        if key not in self._seen:
            self._seen.add(key)
            self._total += self._store.state_bytes(key)
        is_fresh = time.monotonic() - self._listed_s < _LIST_EVERY_S
        if is_fresh and self._total <= self._limit:
            return ()
        return self._list_and_prune(protected)

    def _list_and_prune(self, protected: Callable[[], Protected]) -> tuple[Node, ...]:
        entries = self._store.entries()
        self._listed_s = time.monotonic()
        self._seen = {entry.key for entry in entries if entry.state_bytes}
        self._total = sum(entry.record_bytes + entry.state_bytes for entry in entries)
        self._limit = self._budget_bytes
        if self._total <= self._limit:
            return ()
        pruned = prune(
            self._store, int(_DOWN_TO * self._budget_bytes), protected(), lease=self._lease
        )
        self._total = pruned.bytes_after
        if self._total > self._budget_bytes:  # all the rest is needed: not at every result again
            self._limit = self._total + int(_GROWN * self._budget_bytes)
        self._seen -= {node.key for node in pruned.dropped}
        return pruned.dropped
