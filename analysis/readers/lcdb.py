"""Learning curves of LCDB 1.1: nested lists (learner, statistic, anchor, split) of error rates.

A document for each data set; `meta.json` beside it names the learners and the anchors, which are
numbers of training samples: here they stand for steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from analysis.readers.head import Head, load_document
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.text import clean, number

_AXES = ("learners", "stat_labels", "anchors", "tvt_labels")
_META_BYTES = 2**20


def _fits(head: Head) -> bool:
    found = head.document
    for _ in _AXES:
        if not isinstance(found, list) or not found:
            return False
        found = found[0]
    return not isinstance(found, list | dict)


def _has_shape(found: Any, shape: list[int]) -> bool:
    if not shape:
        return not isinstance(found, list | dict)
    if not isinstance(found, list) or len(found) != shape[0]:
        return False
    return all(_has_shape(item, shape[1:]) for item in found)


def _meta(folder: Path) -> tuple[str, list[list[Any]]] | None:
    """Return the name of the document that names the axes, and the axes."""
    for path in sorted(folder.glob("*.json")):
        if path.is_file() and path.stat().st_size <= _META_BYTES:
            head = Head.of(path)
            found = head.document if head.data.lstrip().startswith(b"{") else None
            axes = [found.get(axis) for axis in _AXES] if isinstance(found, dict) else []
            lists = [axis for axis in axes if isinstance(axis, list)]
            if len(lists) == len(_AXES):
                return path.name, lists
    return None


def _read(file: LogFile) -> Iterator[Row]:
    curves, meta = load_document(file.path), _meta(file.path.parent)
    if meta is None or not _has_shape(curves, [len(axis) for axis in meta[1]]):
        file.problem = "curves of LCDB without the document beside them that names their axes"
        return
    file.beside.add(PurePosixPath(clean(meta[0])))
    learners, statistics, anchors, splits = meta[1]
    for learner, curve in zip(learners, curves, strict=True):
        for place, anchor in enumerate(anchors):
            values = {
                f"{split}_error" + (f"_{statistic}" if statistic != statistics[0] else ""): found
                for statistic, points in zip(statistics, curve, strict=True)
                for split, value in zip(splits, points[place], strict=True)
                if (found := number(value)) is not None
            }
            if values and (samples := number(anchor)) is not None:
                yield Row(samples, values, run=clean(str(learner)))


LCDB = Reader("lcdb", _fits, _read)
