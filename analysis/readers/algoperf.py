"""AlgoPerf's `eval_measurements.csv`: the step, several clocks, and all metrics in each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.readers.columns import Layout
from analysis.readers.head import Head
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.table import is_table, read_table
from analysis.readers.text import words

_SECONDS = "accumulated_submission_time"
"""Seconds of training alone: its benchmark's own measure."""


_BOOKKEEPING = frozenset(
    words("accumulated_eval_time accumulated_logging_time preemption_count score total_duration")
)


def _layout(names: Sequence[str]) -> Layout:
    return Layout.of(names, ("global_step",), (_SECONDS,), _BOOKKEEPING)


def _fits(head: Head) -> bool:
    return {"global_step", _SECONDS} <= set(head.columns) and is_table(head, _layout)


def _read(file: LogFile) -> Iterator[Row]:
    return read_table(file, _layout)


ALGOPERF = Reader("algoperf", _fits, _read)
