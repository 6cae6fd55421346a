"""Trials of a thaw search: Tune's `result.json` with the segments' keys and device-seconds.

The step is the segment. The seconds are those that training the segments took, whoever paid for
them: a trial that found its prefix in the store cost its own search less. A metric of a data set
that a segment was not measured on is written as NaN; it is left out here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from analysis.readers.columns import STEPS, Layout
from analysis.readers.head import Head
from analysis.readers.objects import axes_of, rows_of
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.tune import BOOKKEEPING, SIGN, results

_SIGNS = frozenset({SIGN, "segment", "key", "device_s", "reused"})
_OTHERS = frozenset(
    {"progress", "last_stage_progress", "segment", "micro_batches"}
    | {"training_iteration", "time_total_s", "timesteps_total", "cost_s"}
)


def _layout(names: list[str]) -> Layout:
    return Layout.of(names, (*STEPS, "segment"), ("device_s",), BOOKKEEPING | _OTHERS)


def _fits(head: Head) -> bool:
    return bool(head.objects) and head.objects[0].keys() >= _SIGNS


def _read(file: LogFile) -> Iterator[Row]:
    found = _results(file)
    first = list(islice(found, 1))
    layout = axes_of([item for _, item in first], _layout)
    epoch, wall_s = 0.0, 0.0
    for row in rows_of(file, chain(first, found), layout):
        wall_s += row.wall_s if math.isfinite(row.wall_s) else 0.0
        yield row._replace(values=_measured(row.values, row.epoch > epoch), wall_s=wall_s)
        epoch = row.epoch


def _results(file: LogFile) -> Iterator[tuple[int, dict[str, Any]]]:
    epoch: Any = 0
    for at, item in results(file):
        if (now := item.get("epoch")) != epoch:  # one on the data that the search is for
            epoch = now
            _count(file.stages, str(item.get("stage", "")))
        if ended := item.get("ended"):
            file.status = str(ended)
        elif file.status == "done":
            file.status = "stopped"
        yield at, item


def _count(stages: list[tuple[str, int]], stage: str) -> None:
    """Count an epoch of `stage`: one more of the last stage, or the first of a new one."""
    if stages and stages[-1][0] == stage:
        stages[-1] = stage, stages[-1][1] + 1
    else:
        stages.append((stage, 1))


def _measured(values: Mapping[str, float], on_objective: bool) -> dict[str, float]:
    """Leave out the NaN of data sets that a segment was not measured on.

    Metrics of the objective's data set have plain names, those of others a prefix.
    """
    return {
        name: value
        for name, value in values.items()
        if value == value or (on_objective and not _has_prefix(name, values))
    }


def _has_prefix(name: str, values: Mapping[str, float]) -> bool:
    return any(name.endswith(f"_{other}") for other in values)


THAW = Reader("thaw", _fits, _read, family="tune")
