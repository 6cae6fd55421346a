"""Trials of Ray Tune: `result.json`, a JSON line for each result, and `progress.csv`, its table.

The step is the one that the trial reports, else `timesteps_total`, else `training_iteration`: the
axis that Tune's own TensorBoard files have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from analysis.readers.columns import STEPS, Layout, normal
from analysis.readers.head import Head
from analysis.readers.objects import axes_of, objects, parameters, rows_of
from analysis.readers.reader import LogFile, Reader, Row
from analysis.readers.table import is_table, read_table
from analysis.readers.text import words

STEP_NAMES = (*STEPS, "timesteps_total", "training_iteration")
BOOKKEEPING = frozenset(
    words(
        "config date done experiment_id experiment_tag hostname iterations_since_restore node_ip "
        "pid should_checkpoint time_since_restore time_this_iter_s timestamp "
        "timesteps_since_restore timesteps_this_iter trial_id trial_name checkpoint_dir_name "
        "warmup_time"
    )
)
SIGN = "training_iteration"


def layout(names: Iterable[str]) -> Layout:
    """Return the axes of a result of Tune; what Tune adds for itself is no metric."""
    names = list(names)
    settings = {normal(name) for name in names if name.startswith("config/")}
    found = Layout.of(names, STEP_NAMES, ("time_total_s",), BOOKKEEPING | settings)
    return replace(found, run="")


def results(file: LogFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the results; note the trial's parameters, and whether it said that it is done."""
    for at, item in objects(file):
        settings = item.pop("config", None)
        if not file.params and isinstance(settings, dict):
            file.params.update(parameters(settings))
        file.status = "done" if item.get("done") is True else "running"
        yield at, item


def _is_json(head: Head) -> bool:
    return bool(head.objects) and SIGN in head.objects[0]


def _read_json(file: LogFile) -> Iterator[Row]:
    found = results(file)
    first = list(islice(found, 1))
    return rows_of(file, chain(first, found), axes_of([item for _, item in first], layout))


def _is_csv(head: Head) -> bool:
    return SIGN in head.columns and is_table(head, layout)


def _read_csv(file: LogFile) -> Iterator[Row]:
    return read_table(file, layout)


JSON = Reader("ray tune", _is_json, _read_json, family="tune")
CSV = Reader("ray tune csv", _is_csv, _read_csv, family="tune")
