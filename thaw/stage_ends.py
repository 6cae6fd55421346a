"""The last segment of each stage of a trial, as far as a table was kept there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from training.confusion import Rows
from training.record import Record


@dataclass(frozen=True)
class End:
    """What a record kept when a stage was over."""

    stage: str
    epoch: int
    """Epochs on the data set of the schedule's last stage so far."""
    segment: int
    """Segments so far, also those that the trial went back from."""
    rows: Rows


def ends_with(table: str, visited: Iterable[tuple[str, Record]], objective: str) -> list[End]:
    """Return the last segment of each stage on the data set `objective` whose record has `table`.

    `visited` are (stage, record) in their order.
    """
    ends: list[End] = []
    epoch = 0
    previous = ""
    for segment, (stage, record) in enumerate(visited, 1):
        if record.data == objective and table in record.tables:
            epoch += 1
            ends[len(ends) - (stage == previous) :] = [
                End(stage, epoch, segment, record.tables[table])
            ]
        previous = stage
    return ends
