"""Text logs of OpenMMLab: `Iter [50/80000] lr: ...` and `Iter(val) [500] mIoU: 0.4`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from analysis.readers.head import Head
from analysis.readers.mm_steps import Record, rows_of
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.text import clean, lines

_TIME = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d) (\d\d:\d\d:\d\d)")
_LOGGED = re.compile(_TIME.pattern + r"(,\d+)? - \w+ - [A-Z]+ - ")
_ROW = re.compile(
    r"\b(?P<by>Iter|Epoch)(?:\((?P<mode>train|val|test)\))?\s*"
    r"\[\s*(?P<first>\d+)(?:\s*/\s*(?P<end>\d+))?\]"
    r"(?:\[\s*(?P<inner>\d+)(?:\s*/\s*(?P<length>\d+))?\])?\s*(?P<values>.*)"
)
_APART = re.compile(r",\s+|\s{2,}")


def _fits(head: Head) -> bool:
    return any(_LOGGED.match(line) or _values_of(line) for line in head.lines)


def _values_of(line: str) -> dict[str, float]:
    row = _ROW.search(line)
    return _values(row["values"]) if row else {}


def _read(file: LogFile) -> Iterator[Row]:
    return rows_of(file, _records(file))


def _records(file: LogFile) -> Iterator[Record]:
    length = math.nan
    for at, line in enumerate(lines(file.path), 1):
        row = _ROW.search(line)
        values = _values(row["values"]) if row else {}
        if row is None or not values:
            continue
        is_train = row["mode"] in (None, "train")
        if is_train:
            length = float(row["length"] or math.nan)
            if row["first"] == row["end"]:
                file.status = "finished"
        if row["mode"] == "test":
            values = {f"test/{name}": value for name, value in values.items()}
        yield _record(row, values, is_train, length)._replace(line=at)


def _record(row: re.Match[str], values: dict[str, float], is_train: bool, length: float) -> Record:
    wall_s, first = _seconds(row.string), float(row["first"])
    if row["by"] == "Iter":
        return Record(values, first, is_train=is_train, wall_s=wall_s)
    count = float(row["inner"] or math.nan) if is_train else first
    known = 0 if math.isnan(length) else length
    return Record(values, count, first, is_train, known, wall_s)


def _values(text: str) -> dict[str, float]:
    """Return the numbers in `mIoU: 0.4, mAcc: 0.5`; the time left is none."""
    found = {}
    for part in _APART.split(text):
        name, _, value = part.partition(":")
        try:
            found[clean(name)] = float(value)
        except ValueError:
            continue
    found.pop("", None)
    return found


def _seconds(line: str) -> float:
    """Return the time at the start of a line in seconds since 1970, NaN without one."""
    if (time := _TIME.match(line)) is None:
        return math.nan
    try:
        moment = datetime.fromisoformat("{}-{}-{} {}".format(*time.groups()))
    except ValueError:
        return math.nan
    return moment.replace(tzinfo=UTC).timestamp()


MM_TEXT = Reader("openmmlab text", _fits, _read, family="openmmlab")
