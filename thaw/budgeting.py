"""What a search keeps in its store: its lease, and its budget where it has one."""

from __future__ import annotations

import threading
from contextlib import suppress

from thaw.results import Table
from thaw.searcher import ScheduleSearcher
from training.budget import Budget
from training.leases import RENEW_S, Lease
from training.retention import Protected
from training.store import Store
from training.trouble import StoreTrouble


class StoreBudget:
    """Drops states that nobody is likely to need, so that the store fits; records stay.

    Kept are the states that running trials may go on from, the best of each trial and its end,
    and forks that trials held back will come to. Without a budget nothing is dropped here, but
    what running trials need is leased all the same: another search or `thaw store prune` may drop.
    """

    def __init__(
        self, store: Store, num_bytes: int | None, searcher: ScheduleSearcher, table: Table
    ) -> None:
        """Take out a lease, so that other searches on the store leave what this one needs."""
        self._lease = Lease(store)
        self._budget = None if num_bytes is None else Budget(store, num_bytes, self._lease)
        self._searcher = searcher
        self._table = table
        self._over = threading.Event()
        threading.Thread(target=self._renew, daemon=True).start()

    def segment(self, key: str) -> None:
        """Take in one more segment, and make room where there is none."""
        with suppress(StoreTrouble):  # that must not keep us from making room
            self._lease.renew(self._searcher.running_keys())
        if self._budget is not None:
            self._budget.enforce(key, self._protected)

    def close(self) -> None:
        """Give the lease back; one that cannot be given back ends after ten minutes."""
        self._over.set()
        with suppress(StoreTrouble):
            self._lease.release()

    def _protected(self) -> Protected:
        rows = self._table.rows.values()
        kept = frozenset(key for row in rows for key in (row.best_key, row.last_key) if key)
        running, wanted = self._searcher.running_keys(), self._searcher.wanted_keys()
        return Protected(running=running, kept=kept, wanted=wanted)

    def _renew(self) -> None:
        """Renew the lease while a segment takes longer than a lease holds."""
        while not self._over.wait(RENEW_S):
            with suppress(StoreTrouble):  # that must not end the search
                self._lease.renew(self._searcher.running_keys())
