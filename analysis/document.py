"""A report as plain frozen data: what Markdown, HTML and the files are written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Cell:
    """What stands in a table, and what it is sorted by."""

    text: str
    key: float | str
    mark: str = ""
    """`good`, `weak`, `bad` or nothing: how it is tinted."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table that is shown."""

    name: str
    """Its own on the page."""
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    num_rows: int
    """Of the whole table; more than `rows` where not all are shown."""
    numeric: tuple[bool, ...]
    file: str = ""
    """The table in `tables/` where all rows are; by default that of its name."""


@dataclass(frozen=True)
class Chart:
    """A figure: data and layout of plotly.js."""

    name: str
    figure: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture; it is in the page itself, and a file beside the report."""

    name: str
    png: bytes
    alt: str
    """What is to be seen, for those who do not see it."""
    note: str = ""

    @property
    def file(self) -> str:
        """Return its path below the folder of the report."""
        return f"pictures/{self.name}.png"


Block = Text | Items | Grid | Chart | Picture


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A report."""

    name: str
    """As in the table of reports."""
    title: str
    made: date
    headline: tuple[tuple[str, str], ...]
    """Figures of the header: (what, how much)."""
    summary: str
    """One paragraph."""
    sections: tuple[Section, ...]
    tables: Mapping[str, pd.DataFrame]
    """Name -> table, in the unit of the logs."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What `summary.json` says besides."""
