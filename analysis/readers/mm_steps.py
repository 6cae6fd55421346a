"""The iteration at which a row of an OpenMMLab log was written.

Their logs count differently: iterations of the whole run, iterations within an epoch, and for
validation the number of its batches, the epoch, or the iteration. All become iterations of the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

from analysis.readers.reader import LogFile, Row

TRAIN = "train/"
_NO_METRICS = frozenset({"time", "data_time", "memory", "eta_seconds"})
_MAX_WAITING = 100_000
"""Rows of the first epoch that are held until the next one shows how they count."""
_MAX_BEGIN = 1000
"""Rows among which the first two of training are looked for."""


class Record(NamedTuple):
    """A row as the log has it."""

    values: Mapping[str, float]
    at: float
    """The log's own count: `iter`, `step`, or what stands in brackets; NaN where there is none."""
    epoch: float = math.nan
    is_train: bool = True
    epoch_length: float | None = 0
    """Iterations of an epoch, for counts that begin again with each; None where only the rows
    that follow can tell."""
    wall_s: float = math.nan
    line: int = 0
    """Number in the file, from 1."""


def rows_of(file: LogFile, records: Iterable[Record]) -> Iterator[Row]:
    """Yield rows at iterations of the run; training metrics get the prefix `train/`.

    Bookkeeping (seconds per iteration, memory) is left out; the learning rate has no prefix. A
    record that says nothing of its iteration is broken.
    """
    clock = _Clock()
    begin = _to_second_training(resolved := _resolved(records))
    clock.by_epoch = len(begin) > 1 and _same_count(*begin[:2])
    clock.interval = _first_interval(begin)
    for record in chain(begin, resolved):
        step = clock.train(record) if record.is_train else clock.validation(record)
        if math.isfinite(step):
            yield Row(step, _named(record), clock.epoch, clock.wall_s)
        else:
            file.broken(record.line)


def _to_second_training(records: Iterator[Record]) -> list[Record]:
    """Take records up to the second one of training: they show how far training rows are apart."""
    begin: list[Record] = []
    num_train = 0
    for record in islice(records, _MAX_BEGIN):
        begin.append(record)
        num_train += record.is_train
        if num_train == 2:
            break
    return begin


def _first_interval(begin: Iterable[Record]) -> float:
    """Return the iterations between the first two training rows, 0 where they do not tell."""
    steps = [_step(record) for record in begin if record.is_train]
    return steps[1] - steps[0] if len(steps) == 2 and steps[1] > steps[0] else 0.0


def _step(record: Record) -> float:
    """Return the iteration of a training row in the whole run."""
    length = record.epoch_length or 0
    return record.at + (record.epoch - 1) * length if length else record.at


def _same_count(one: Record, two: Record) -> bool:
    """Tell whether validations without training before them count batches, not iterations."""
    both = not one.is_train and not two.is_train
    return both and one.at == two.at and one.epoch != two.epoch


def _named(record: Record) -> dict[str, float]:
    prefix = TRAIN if record.is_train else ""
    return {
        name if name == "lr" else prefix + name: value
        for name, value in record.values.items()
        if name not in _NO_METRICS and (record.is_train or name != "lr")
    }


@dataclass
class _Clock:
    """Where training is: the last training row, and how far rows are apart."""

    step: float = math.nan
    epoch: float = math.nan
    interval: float = 0.0
    wall_s: float = math.nan
    by_epoch: bool = False
    """Whether validations without training are placed at their epoch."""
    in_epochs: bool = False
    """Whether training rows count within their epoch: then validations count batches."""

    def train(self, record: Record) -> float:
        step = _step(record)
        self.in_epochs = bool(record.epoch_length)
        advance = step - self.step if step > self.step else 0.0
        self.interval = advance or self.interval
        self._pass(record, record.values.get("time", math.nan) * advance)
        self.step = step if math.isfinite(step) else self.step
        return step

    def validation(self, record: Record) -> float:
        """Return the iteration of a validation: its own count where it can be one."""
        self._pass(record, 0.0)
        if record.epoch_length:
            return record.epoch * record.epoch_length
        if math.isnan(self.step):
            return record.epoch if self.by_epoch else record.at
        own = 0 <= record.at - self.step <= max(self.interval, 1)
        return record.at if own and not self.in_epochs else self.step

    def _pass(self, record: Record, seconds: float) -> None:
        if math.isfinite(record.epoch):
            self.epoch = record.epoch
        if math.isfinite(record.wall_s):
            self.wall_s = record.wall_s
        elif math.isfinite(seconds):
            self.wall_s = seconds + (0.0 if math.isnan(self.wall_s) else self.wall_s)


def _resolved(records: Iterable[Record]) -> Iterator[Record]:
    """Give training rows that may count within an epoch its length, 0 where they do not."""
    waiting: list[Record] = []
    rest = iter(records)
    for record in rest:
        unknown = record.is_train and record.epoch_length is None
        if not waiting and not unknown:
            yield record
            continue
        waiting.append(record)
        if (unknown and record.epoch != waiting[0].epoch) or len(waiting) == _MAX_WAITING:
            break
    length = _epoch_length([record for record in waiting if record.is_train])
    for record in chain(waiting, rest):
        yield record._replace(epoch_length=length) if record.epoch_length is None else record


def _epoch_length(rows: list[Record]) -> float:
    """Return the last count of the first epoch where the next begins anew, else 0.

    Of a single epoch that is not the first, the counts are its own where they begin near zero.
    """
    counts = [row.at for row in rows if row.epoch == rows[0].epoch]
    following = rows[len(counts) :]
    if following:
        return max(counts) if following[0].at <= counts[-1] else 0
    near_zero = len(counts) > 1 and counts[0] <= 2 * (counts[1] - counts[0])
    return max(counts) if near_zero and rows[0].epoch > 1 else 0
