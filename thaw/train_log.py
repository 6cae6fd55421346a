"""What a single run came to, as a table that reports and other tools read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from analysis.files import write_text
from training.record import Record

LOG = "metrics.csv"


def write_log(path: Path, records: Iterable[Record], objective: str) -> str:
    """Write a row for each epoch on the data set `objective`: epoch, LR, metrics.

    Returns a line that says so.
    """
    counted = [record for record in records if record.data == objective]
    text = io.StringIO()
    names = list(counted[-1].metrics) if counted else []
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", "lr", *names])
    for epoch, record in enumerate(counted, 1):
        values = [record.metrics.get(name, "") for name in names]
        table.writerow([epoch, record.lr_last, *values])
    write_text(path, text.getvalue())
    return f"wrote {path}"
