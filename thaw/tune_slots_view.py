"""What a person sees of `thaw tune-slots`: rows as they come, the time left, what to do."""

from __future__ import annotations

import time
from shlex import join
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from thaw.tune_slots import Found, Row

_GIB = 2**30
_START_S = 15.0
"""What starting a process takes, about, as long as none was."""


class View:
    """A table that fills, with the time left below; elsewhere than on a terminal one line a row."""

    def __init__(self, console: Console, *, title: str, most: int, seconds: float) -> None:
        """Show up to `most` rows of `seconds` each."""
        self._console = console
        self._title = title
        self._most = most
        self._seconds = seconds
        self._rows: list[Row] = []
        self._num = 1
        self._began_s = self._round_s = time.monotonic()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._console.print(self._title)
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the table, without the time left."""
        self._num = 0
        if self._console.is_terminal:
            self._live.stop()
        elif self._rows:
            self._console.print(table_of(self._rows))

    def starting(self, num: int) -> None:
        """Show that `num` trials at once come next."""
        self._num, self._round_s = num, time.monotonic()
        if not self._console.is_terminal:
            self._console.print(self._progress())

    def measured(self, row: Row) -> None:
        """Show a row."""
        self._rows.append(row)

    def _render(self) -> Group:
        parts = [table_of(self._rows)] if self._rows else []
        return Group(*parts, self._progress() if self._num else Text())

    def _progress(self) -> Text:
        now = time.monotonic()
        done = len(self._rows)
        each = (self._round_s - self._began_s) / done if done else _START_S + self._seconds
        left = max(0.0, each * (self._most - done) - (now - self._round_s))
        return Text(f"{self._num} at once of at most {self._most}; at most {left:.0f} s left")


def table_of(rows: list[Row]) -> Table:
    """Return the rows as a table."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("trials at once", "trials per hour", "over one", "memory of a trial"):
        table.add_column(name, justify="right")
    for row in rows:
        memory = f"{row.memory_bytes / _GIB:.2f} GiB" if row.memory_bytes else "-"
        table.add_row(str(row.trials), f"{row.trials_per_hour:.1f}", f"{row.gain:.2f} x", memory)
    return table


def show(found: Found, again: tuple[str, ...], console: Console) -> None:
    """Print why it ended, and the search to run; `again` are the study and its options."""
    gain = next(row.gain for row in found.rows if row.trials == found.recommended)
    console.print(f"{found.ended}; measured on stage {found.stage}")
    console.print(
        f"recommended: {found.recommended} at once, {gain:.2f} x the trials per hour of one:"
    )
    console.print(f"  {join(('thaw', 'search', *again))} {found.flags}", soft_wrap=True)
