"""Turns tables into grids: the same numbers, in the form in which people read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.document import Cell, Grid
from analysis.metrics import Unit
from analysis.steps import shown_about, shown_step

Show = Callable[[Any], Cell]


@dataclass(frozen=True)
class Shown:
    """How a column of a table is shown."""

    heading: str
    show: Show
    numeric: bool = True


def grid(name: str, table: pd.DataFrame, columns: Mapping[str, Shown], most: int) -> Grid:
    """Return the first `most` rows of `table` with its `columns`, in their order."""
    head = table.head(most)
    shown = [[how.show(value) for value in head[column]] for column, how in columns.items()]
    return Grid(
        name=name,
        headings=tuple(how.heading for how in columns.values()),
        rows=tuple(zip(*shown, strict=True)),
        num_rows=len(table),
        numeric=tuple(how.numeric for how in columns.values()),
    )


def words(heading: str, marks: Mapping[str, str] | None = None) -> Shown:
    """Show text; `marks` says which words are tinted."""
    found = marks or {}

    def show(value: Any) -> Cell:
        text = "" if pd.isna(value) else str(value)
        return Cell(text, text.lower(), found.get(text, ""))

    return Shown(heading, show, numeric=False)


def numbers(heading: str, text: Callable[[float], str]) -> Shown:
    """Show numbers by a function; NaN is an empty cell."""

    def show(value: Any) -> Cell:
        return Cell("", "") if pd.isna(value) else Cell(text(float(value)), float(value))

    return Shown(heading, show)


def steps(heading: str, *, about: bool = False) -> Shown:
    """Show steps: 320k."""
    return numbers(heading, shown_about if about else shown_step)


def counts(heading: str) -> Shown:
    """Show whole numbers."""
    return numbers(heading, lambda value: f"{value:,.0f}")


def per_cent(heading: str) -> Shown:
    """Show shares that are in per cent already, in whole per cent."""
    return numbers(heading, shown_per_cent)


def shown_per_cent(value: float) -> str:
    """Return a share that is in per cent already as `92%`."""
    return f"{round(value) + 0:d}%"


def multiples(heading: str) -> Shown:
    """Show compute as a multiple of the base length."""
    return numbers(heading, shown_multiple)


def shown_multiple(value: float) -> str:
    """Return 2x, 5.6x."""
    return f"{value:.3g}x"


def gain_range(heading: str, unit: Unit) -> Shown:
    """Show an interval of gains."""
    return _ranges(heading, unit.gain)


def value_range(heading: str, unit: Unit) -> Shown:
    """Show an interval of values."""
    return _ranges(heading, unit.value)


def share_range(heading: str) -> Shown:
    """Show an interval of shares that are in per cent."""
    return _ranges(heading, shown_per_cent)


def step_range(heading: str) -> Shown:
    """Show an interval of steps."""
    return _ranges(heading, shown_about)


def _ranges(heading: str, text: Callable[[float], str]) -> Shown:
    def show(value: Any) -> Cell:
        if pd.isna(value) or not value:
            return Cell("", "")
        ends = json.loads(value)
        return Cell(shown_range(ends, text), float(ends[0]))

    return Shown(heading, show)


def shown_range(ends: Sequence[float], text: Callable[[float], str]) -> str:
    """Return `+0.61 to +0.90`."""
    return f"{text(ends[0])} to {text(ends[1])}"
