"""Lightning's `metrics.csv`: rows of training and validation between each other, with blanks."""

from __future__ import annotations

from analysis.readers.head import Head
from analysis.readers.reader import Reader
from analysis.readers.table import is_table, read_table


def _fits(head: Head) -> bool:
    """Tell by blanks: a row has the values of training or those of validation, never both."""
    if not {"step", "epoch"} <= set(head.columns) or not is_table(head):
        return False
    cells = [line.rstrip("\r").split(head.delimiter) for line in head.lines[1:]]
    rows = [row for row in cells if len(row) == len(head.columns)]
    return bool(rows) and all("" in row for row in rows)


LIGHTNING = Reader("lightning", _fits, read_table)
