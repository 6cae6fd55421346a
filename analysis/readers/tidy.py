"""Tables with a row for each point: columns of the step, of the metric's name, and of its value."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analysis.readers.columns import Layout
from analysis.readers.head import Head
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.table import cell_number, is_table, records
from analysis.readers.text import clean

_VALUE, _METRICS = "value", ("metric", "tag", "name", "key")


def _fits(head: Head) -> bool:
    names = {name.lower() for name in head.columns}
    return _VALUE in names and any(name in names for name in _METRICS) and is_table(head)


def _read(file: LogFile) -> Iterator[Row]:
    found = records(file, Head.of(file.path).delimiter)
    header = [clean(name) for name in next(found, (0, []))[1]]
    lower, layout = [name.lower() for name in header], Layout.of(header)
    value_at = lower.index(_VALUE)
    metric_at = next(lower.index(name) for name in _METRICS if name in lower)
    step_at = header.index(layout.step or layout.epoch)
    others = [
        header.index(name) if name else -1 for name in (layout.epoch, layout.wall_s, layout.run)
    ]
    for at, cells in found:
        if len(cells) != len(header) or (step := cell_number(cells[step_at])) is None:
            file.broken(at)
            continue
        epoch, wall_s, run = ("" if place < 0 else cells[place] for place in others)
        if (value := cell_number(cells[value_at])) is not None and math.isfinite(step):
            values = {clean(cells[metric_at]): value}
            yield Row(step, values, _or_nan(epoch), _or_nan(wall_s), clean(run))


def _or_nan(cell: str) -> float:
    found = cell_number(cell)
    return math.nan if found is None else found


TIDY = Reader("tidy csv", _fits, _read)
