"""Logs of no known writer: a table or JSON lines with a column of steps or epochs."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.readers.head import Head
from analysis.readers.objects import axes_of, objects, rows_of
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.table import is_table, read_table


def _is_jsonl(head: Head) -> bool:
    return axes_of(head.objects).has_axis


def _read_jsonl(file: LogFile) -> Iterator[Row]:
    layout = axes_of(Head.of(file.path).objects)
    return rows_of(file, objects(file), layout)


CSV = Reader("csv", is_table, read_table)
JSONL = Reader("json lines", _is_jsonl, _read_jsonl)
