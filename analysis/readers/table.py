"""Tables of comma-separated values, read row by row."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence

from analysis.readers.columns import Layout
from analysis.readers.head import Head
from analysis.readers.reader import LogFile, Row
from analysis.readers.text import clean, lines

_BLANK = frozenset({"", "na", "n/a", "none", "null", "-", "--"})


def is_table(head: Head, layout: Callable[[Sequence[str]], Layout] = Layout.of) -> bool:
    """Tell whether the file begins with a header that names a step or an epoch, and has rows."""
    columns = head.columns
    axes = layout(columns)
    if len(columns) < 2 or not axes.has_axis:
        return False
    axis = columns.index(axes.step or axes.epoch)
    return any(
        len(row) == len(columns) and cell_number(row[axis]) is not None for row in _sample(head)
    )


def _sample(head: Head) -> Iterator[list[str]]:
    """Yield the first rows below the header, without those that are no record."""
    rows = csv.reader(head.lines[1:], delimiter=head.delimiter)
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error:
            continue


def records(file: LogFile, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the number of its first line; count what is no record as broken.

    A quote without an end swallows the lines after it: they are broken too.
    """
    width = 0
    reader = csv.reader(lines(file.path), delimiter=delimiter)
    while True:
        before = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            file.broken(before + 1, reader.line_num - before)
            continue
        if not cells or cells[0].startswith("#") or (len(cells) == 1 and not cells[0].strip()):
            continue
        width = width or len(cells)
        if (swallowed := reader.line_num - before) > 1 and len(cells) != width:
            file.broken(before + 1, swallowed)
        else:
            yield before + 1, cells


class Table:
    """Turns records into rows; a column of text is no metric."""

    def __init__(
        self, file: LogFile, header: Sequence[str], layout: Layout, sample: Sequence[list[str]]
    ) -> None:
        """Read rows of `file` below `header`; the first rows, `sample`, show what is text."""
        self._file = file
        self._header = [clean(name) for name in header]
        self._layout = layout
        places = {name: place for place, name in reversed(list(enumerate(self._header)))}
        self._step = places.get(layout.step or layout.epoch, 0)
        self._epoch = places.get(layout.epoch, -1)
        self._wall_s = places.get(layout.wall_s, -1)
        self._run = places.get(layout.run, -1)
        self._metrics = [
            (name if places[name] == place else f"{name} ({place + 1})", place)
            for place, name in enumerate(self._header)
            if layout.is_metric(name) and not _is_text(sample, place)
        ]
        self._numeric = {
            name
            for name, at in self._metrics
            if any(cell_number(c) is not None for c in _column(sample, at))
        }

    def row(self, number: int, cells: list[str]) -> Row | None:
        """Return the row in `cells`; None for a broken one, which is counted, or a header."""
        if len(cells) != len(self._header) and any(map(str.strip, cells[len(self._header) :])):
            return self._broken(number)
        try:
            step = float(cells[self._step])
            epoch = float(cells[self._epoch]) if self._epoch >= 0 else math.nan
            wall_s = float(cells[self._wall_s]) if self._wall_s >= 0 else math.nan
            values = {name: float(cells[place]) for name, place in self._metrics}
        except (ValueError, IndexError):
            return self._row_with_gaps(number, cells)
        if not math.isfinite(step):
            return self._broken(number)
        run = clean(cells[self._run]) if self._run >= 0 else ""
        return Row(step, values, epoch, wall_s, run)

    def _row_with_gaps(self, number: int, cells: list[str]) -> Row | None:
        if not any(map(str.strip, cells)) or list(map(clean, cells)) == self._header:
            return None
        if len(cells) < len(self._header) or (step := cell_number(cells[self._step])) is None:
            return self._broken(number)
        values = {}
        for name, place in list(self._metrics):
            value = cell_number(cells[place])
            if value is not None:
                values[name] = value
                self._numeric.add(name)
            elif cells[place].strip().lower() not in _BLANK:
                self._text(number, name, place)
        if not math.isfinite(step):
            return self._broken(number)
        run = clean(cells[self._run]) if self._run >= 0 else ""
        return Row(
            step, values, self._axis(cells, self._epoch), self._axis(cells, self._wall_s), run
        )

    def _text(self, number: int, name: str, place: int) -> None:
        if name in self._numeric:
            self._file.broken(number)
        else:
            self._metrics.remove((name, place))

    def _axis(self, cells: list[str], place: int) -> float:
        found = cell_number(cells[place]) if place >= 0 else None
        return math.nan if found is None else found

    def _broken(self, number: int) -> Row | None:
        self._file.broken(number)
        return None


def _column(sample: Sequence[list[str]], place: int) -> list[str]:
    cells = [row[place].strip() for row in sample if place < len(row)]
    return [cell for cell in cells if cell.lower() not in _BLANK]


def _is_text(sample: Sequence[list[str]], place: int) -> bool:
    cells = _column(sample, place)
    return 2 * sum(cell_number(cell) is None for cell in cells) > len(cells)


def cell_number(cell: str) -> float | None:
    """Return the number in a cell, None where it holds none."""
    try:
        return float(cell)
    except ValueError:
        return None


def read_table(
    file: LogFile, layout: Callable[[Sequence[str]], Layout] = Layout.of
) -> Iterator[Row]:
    """Yield the rows of a table whose first record is a header."""
    head = Head.of(file.path)
    found = records(file, head.delimiter)
    _, header = next(found, (0, []))
    table = Table(file, header, layout([clean(name) for name in header]), list(_sample(head)))
    for number, cells in found:
        row = table.row(number, cells)
        if row is not None:
            yield row
