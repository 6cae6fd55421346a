"""What a person sees of a search: a live view while it runs, a table at its end."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable
from rich.text import Text

from thaw.console import PlainConsole
from thaw.results import Row, Table, count

_LINE_EVERY_S = 15.0
_SHOWN_RUNNING = 8
_FIXED_WIDTH = 80
_VALUE_WIDTH = 8
_LOG_WIDTH = 200


def make_console() -> Console:
    """Return a console; a log has no margin, so that each trial has one line there."""
    console = PlainConsole()
    return console if console.is_terminal else PlainConsole(width=_LOG_WIDTH)


class View:
    """Trials done, running and stopped; segments trained and reused; best so far; time left.

    On a terminal it redraws itself; elsewhere it prints a line now and then.
    """

    def __init__(self, console: Console, table: Table, *, num_trials: int, title: str) -> None:
        """Show `table` as it fills."""
        self._console = console
        self._table = table
        self._num_trials = num_trials
        self._title = title
        self._started = time.monotonic()
        self._printed = self._started
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._console.is_terminal:
            self._live.start()
        else:
            self._console.print(
                f"{self._title}: {self._num_trials} trial{'s' * (self._num_trials != 1)}"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        if self._console.is_terminal:
            self._live.stop()

    def refresh(self) -> None:
        """Print a line where there is no terminal and the last one is some time ago."""
        if not self._console.is_terminal and time.monotonic() - self._printed > _LINE_EVERY_S:
            self._printed = time.monotonic()
            self._console.print(self._summary())

    def _render(self) -> Group:
        running = [row for row in list(self._table.rows.values()) if row.status == "running"]
        drawn = running[:_SHOWN_RUNNING]
        watched = ("monitor",) if any(row.monitor for row in drawn) else ()
        heads = ("trial", "epoch", "last", "best", *watched, "parameters")
        table = RichTable(*heads, box=None, pad_edge=False)
        for row in drawn:
            table.add_row(
                row.trial,
                str(row.epochs),
                shown_value(row.last, self._table.metric),
                shown_value(row.best, self._table.metric),
                *(Text(row.monitor, style="yellow") for _ in watched),
                _listed(row),
                style="dim",
            )
        done = sum(row.status != "running" for row in list(self._table.rows.values()))
        bar = ProgressBar(total=self._num_trials, completed=done, width=40)
        head = RichTable.grid()
        for line in (Text(self._title, style="bold"), bar, Text(self._summary())):
            head.add_row(line)
        return Group(head, table)

    def _summary(self) -> str:
        rows = list(self._table.rows.values())  # drawn in a thread while trials are added
        counts = count(rows)
        running = counts.pop("running", 0)
        done = sum(counts.values())
        states = ", ".join(f"{number} {status}" for status, number in counts.items())
        ranked = self._table.ranked()
        best = shown_value(ranked[0].best if ranked else math.nan, self._table.metric)
        said = [f"{r.trial} {r.monitor}" for r in rows if r.status == "running" and r.monitor]
        told = f" ({', '.join(said)})" if said and not self._console.is_terminal else ""
        return (
            f"{done}/{self._num_trials} trials done ({states or 'none yet'}), {running} running"
            f"{told} | "
            f"segments: {sum(r.segments_trained for r in rows)} trained, "
            f"{sum(r.segments_reused for r in rows)} reused | best {best} | "
            f"{self._time_left(done)}"
        )

    def _time_left(self, done: int) -> str:
        gone = time.monotonic() - self._started
        if not any(row.epochs for row in list(self._table.rows.values())):
            return f"{_clock(gone)} gone, starting"
        if not done:
            return f"{_clock(gone)} gone"
        return f"{_clock(gone)} gone, about {_clock(gone / done * (self._num_trials - done))} left"


def final_table(table: Table, *, width: int, most: int = 30) -> RichTable:
    """Return the table of trials from the best on: parameters, values, segments, why it ended.

    Where `width` columns of text cannot hold a column for each parameter, they are listed below
    the reason.
    """
    ranked = table.ranked()
    names = list(dict.fromkeys(name for row in ranked for name in row.values))
    wide = width >= _FIXED_WIDTH + sum(max(len(name), _VALUE_WIDTH) + 2 for name in names)
    title = f"{len(ranked)} trial{'s' * (len(ranked) != 1)}, best first" + (
        f" ({most} shown)" if len(ranked) > most else ""
    )
    rich = RichTable(
        title=title,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    rich.add_column("trial")
    for name in ("best", "last", "epochs", "trained", "reused"):
        rich.add_column(name, justify="right", no_wrap=True)
    rich.add_column("why it ended" if wide else "why it ended, parameters", overflow="fold")
    for name in names if wide else ():
        rich.add_column(name, justify="right")
    for row in ranked[:most]:
        rich.add_row(
            row.trial,
            shown_value(row.best, table.metric),
            shown_value(row.last, table.metric),
            str(row.epochs),
            str(row.segments_trained),
            str(row.segments_reused),
            Text(row.ended) if wide else Text(f"{row.ended}\n") + _listed(row),
            *(Text(_cell(row.values.get(name))) for name in (names if wide else ())),
        )
    return rich


def pareto_table(table: Table) -> RichTable:
    """Return the trials that are worth their cost: more metric for more device-seconds."""
    rich = RichTable(
        "trial",
        "device-seconds",
        "best",
        "parameters",
        title="Pareto front: nobody is better for less",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for row in table.pareto():
        rich.add_row(
            row.trial, f"{row.cost_s:.1f}", shown_value(row.best, table.metric), _listed(row)
        )
    return rich


def _listed(row: Row) -> Text:
    return Text("  ".join(f"{name}={_cell(value)}" for name, value in row.values.items()))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def shown_value(value: float, metric: str) -> str:
    """Return an accuracy in per cent, and anything else as the number it is."""
    if math.isnan(value):
        return "-"
    return f"{100 * value:.2f} %" if "accuracy" in metric else f"{value:.4g}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
