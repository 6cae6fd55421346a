"""JSON lines of OpenMMLab: MMCV's `*.log.json` with a `mode`, and MMEngine's `scalars.json`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from analysis.readers.head import Head
from analysis.readers.mm_steps import Record, rows_of
from analysis.readers.objects import objects
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.text import clean, flat, number, real

_COUNTS = frozenset({"mode", "epoch", "iter", "step"})


def _fits(head: Head) -> bool:
    return any(_is_mmcv(item) or _is_mmengine(item) for item in head.objects)


def _is_mmcv(item: dict[str, Any]) -> bool:
    return (item.get("mode") in ("train", "val") and "iter" in item) or "env_info" in item


def _is_mmengine(item: dict[str, Any]) -> bool:
    return item.keys() >= {"step", "iter", "lr"} or item.keys() >= {"step", "time", "data_time"}


def _read(file: LogFile) -> Iterator[Row]:
    return rows_of(file, _records(file))


def _records(file: LogFile) -> Iterator[Record]:
    for at, item in objects(file):
        if "mode" not in item and "step" not in item:
            if at > 1 and "env_info" not in item:
                file.broken(at)
            continue
        yield _mmcv(at, item) if "mode" in item else _mmengine(at, item)


def _mmcv(line: int, item: dict[str, Any]) -> Record:
    is_train = item["mode"] == "train"
    count, epoch = _count(item, "iter"), _count(item, "epoch")
    length = None if is_train and math.isfinite(epoch) else 0
    return Record(_values(item), count, epoch, is_train, length, line=line)


def _mmengine(line: int, item: dict[str, Any]) -> Record:
    is_train = "iter" in item or "lr" in item
    count, epoch = _count(item, "step"), _count(item, "epoch")
    return Record(_values(item), count, epoch, is_train, line=line)


def _count(item: dict[str, Any], name: str) -> float:
    found = number(item.get(name))
    return math.nan if found is None else found


def _values(item: dict[str, Any]) -> dict[str, float]:
    pairs = flat(item) if dict in map(type, item.values()) else item.items()
    return {
        clean(name): real(value)
        for name, value in pairs
        if type(value) in (float, int) and name not in _COUNTS
    }


MM_JSON = Reader("openmmlab json", _fits, _read, family="openmmlab")
