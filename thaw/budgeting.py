"""The budget of a search's store: what must be kept, told after each segment."""

from __future__ import annotations

from thaw.results import Table
from thaw.searcher import ScheduleSearcher
from training.budget import Budget
from training.leases import Lease
from training.retention import Protected
from training.store import Store


class StoreBudget:
    """Drops states that nobody is likely to need, so that the store fits; records stay.

    Kept are the states that running trials may go on from, the best of each trial and its end,
    and forks that trials held back will come to.
    """

    def __init__(
        self, store: Store, num_bytes: int, searcher: ScheduleSearcher, table: Table
    ) -> None:
        """Take out a lease, so that other searches on the store leave what this one needs."""
        self._lease = Lease(store)
        self._budget = Budget(store, num_bytes, self._lease)
        self._searcher = searcher
        self._table = table

    def segment(self, key: str) -> None:
        """Take in one more segment, and make room where there is none."""
        rows = self._table.rows.values()
        kept = {key for row in rows for key in (row.best_key, row.last_key) if key}
        running, wanted = self._searcher.needed()
        self._budget.enforce(key, Protected(running=running, kept=frozenset(kept), wanted=wanted))

    def close(self) -> None:
        """Give the lease back."""
        self._lease.release()
