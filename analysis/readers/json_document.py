"""A curve as one JSON document: a list of objects, or a list of numbers for each metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.readers.head import Head, load_document
from analysis.readers.objects import axes_of, rows_of
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.text import number

_SAMPLE = 20


def _items(found: Any) -> list[dict[str, Any]]:
    """Return an object for each step, none where the document is something else."""
    if isinstance(found, list):
        return found if found and all(isinstance(item, dict) for item in found) else []
    if not isinstance(found, dict):
        return []
    columns = {name: value for name, value in found.items() if _is_column(value)}
    if len({len(column) for column in columns.values()}) != 1:
        return []
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if axes_of(rows[:_SAMPLE]).has_axis:
        return rows
    keras = "loss" in columns
    return [{"epoch": at, **row} for at, row in enumerate(rows, 1)] if keras else []


def _is_column(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(item is None or number(item) is not None for item in value)
    )


def _fits(head: Head) -> bool:
    return axes_of(_items(head.document)[:_SAMPLE]).has_axis


def _read(file: LogFile) -> Iterator[Row]:
    items = _items(load_document(file.path))
    return rows_of(file, enumerate(items, 1), axes_of(items[:_SAMPLE]))


JSON_DOCUMENT = Reader("json", _fits, _read)
