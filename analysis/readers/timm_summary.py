"""timm's `summary.csv`: a row for each epoch, from 0, with `train_` and `eval_` columns."""

from __future__ import annotations

from analysis.readers.head import Head
from analysis.readers.reader import Reader
from analysis.readers.table import is_table, read_table


def _fits(head: Head) -> bool:
    names = head.columns
    evaluated = any(name.startswith("eval_") for name in names)
    return names[:2] == ["epoch", "train_loss"] and evaluated and is_table(head)


TIMM = Reader("timm", _fits, read_table)
