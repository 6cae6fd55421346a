"""Runs of any logs as one TensorBoard folder: scalars over the step, and HParams."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.comparison import endings
from analysis.event_writer import EventWriter
from analysis.logs import LogError, Logs
from analysis.metrics import choose_metric, direction
from analysis.readers.reader import Parameter

_NUM_METRICS = 6
"""Columns for best and last values on the HParams page: the likeliest metrics."""
_MOST_CHOICES = 30
"""Values of a parameter that the HParams page offers as a filter."""
_NO_FILE_NAME = re.compile(r"[^\w.,=+@()\[\] -]")
_MAX_NAME = 120
"""Characters of one part of a path."""


def write_tensorboard(logs: Logs, out: Path) -> int:
    """Write a folder for each run below `out`, and return how many there are.

    All metrics of a run are scalars at their steps; times are seconds since its start. The HParams
    page has the labels and hyperparameters of each run and its best and last values in the
    likeliest metrics. Existing runs are written over. Raises `LogError` where `out` is no folder
    that can be written to.
    """
    params = _columns(logs.runs)
    tags, ended = _endings(logs.points)
    points = _Points.of(logs.points)
    known = [_params(logs.runs, params, place) for place in range(len(logs.runs))]
    facts = dict(zip(map(str, logs.runs.index), known, strict=True))
    status = dict(zip(map(str, logs.runs.index), map(str, logs.runs["status"]), strict=True))
    try:
        with EventWriter(out) as writer:
            kinds = {name: kind for name, (_, kind) in params.items()}
            writer.experiment(kinds, tags, _choices(logs.runs, params))
        for place, (run, folder) in enumerate(zip(points.runs, folders(points.runs), strict=True)):
            summary = [(tag, values[run]) for tag, values in ended.items() if run in values]
            with EventWriter(out / folder) as writer:
                writer.session(facts[run], status[run])
                points.write(place, writer, summary)
    except OSError as error:
        raise LogError(f"{out}: cannot be written: {error.strerror}") from None
    return len(points.runs)


@dataclass(frozen=True)
class _Points:
    """All points in the order in which they are written: by run, then by step."""

    runs: list[str]
    borders: list[int]
    """Run i has the points from `borders[i]` to `borders[i + 1]`."""
    step: npt.NDArray[np.int64]
    wall_s: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]
    tag: npt.NDArray[np.int64]
    """Place of the metric in `tags`."""
    tags: list[str]

    @classmethod
    def of(cls, points: pd.DataFrame) -> _Points:
        runs, metrics = points["run"].cat, points["metric"].cat
        codes, steps = runs.codes.to_numpy(), points["step"].to_numpy()
        order = np.lexsort((steps, codes))
        names = [str(name) for name in runs.categories]
        return cls(
            names,
            np.searchsorted(codes[order], np.arange(len(names) + 1)).tolist(),
            np.rint(steps[order]).astype(np.int64),
            np.nan_to_num(points["wall_s"].to_numpy()[order]),
            points["value"].to_numpy()[order],
            metrics.codes.to_numpy()[order].astype(np.int64),
            metrics.categories.tolist(),
        )

    def write(self, place: int, writer: EventWriter, summary: list[tuple[str, float]]) -> None:
        """Write the points of one run, and `summary` at its last step."""
        of = slice(self.borders[place], self.borders[place + 1])
        steps, walls, values = self.step[of], self.wall_s[of].tolist(), self.value[of].tolist()
        tags = [self.tags[code] for code in self.tag[of].tolist()]
        starts = np.flatnonzero(np.append(True, steps[1:] != steps[:-1])).tolist()
        at = steps.tolist()
        for start, end in zip(starts, [*starts[1:], len(at)], strict=True):
            pairs = zip(tags[start:end], values[start:end], strict=True)
            writer.scalars(at[start], walls[end - 1], pairs)
        if summary:
            writer.scalars(at[-1], walls[-1], summary)


def folders(runs: Sequence[str]) -> list[Path]:
    """Return a relative folder for each run, safe and distinct whatever the runs are called."""
    taken: set[str] = set()
    found = []
    for run in runs:
        path = "/".join(_safe(part) for part in run.split("/") if part) or "run"
        if path.lower() in taken:
            path = f"{path}-{hashlib.sha256(run.encode()).hexdigest()[:8]}"
        taken.add(path.lower())
        found.append(Path(path))
    return found


def _safe(part: str) -> str:
    plain = _NO_FILE_NAME.sub("_", part)[:_MAX_NAME].strip()
    return plain if plain.strip(".") else "_" * max(1, len(plain))


def _endings(points: pd.DataFrame) -> tuple[list[str], dict[str, dict[str, float]]]:
    """Return the tags of best and last values, and their values by tag and run."""
    try:
        first, others = choose_metric(points, None)
    except LogError:
        return [], {}
    found: dict[str, dict[str, float]] = {}
    for metric in [first, *others][:_NUM_METRICS]:
        table = endings(points[points["metric"] == metric], direction(metric))
        for kind in ("best", "last"):
            found[f"{kind}/{metric}"] = {str(run): float(v) for run, v in table[kind].items()}
    return list(found), found


def _columns(runs: pd.DataFrame) -> dict[str, tuple[str, type]]:
    """Return the name on the page -> column and type of labels and hyperparameters."""
    columns = [str(name) for name in runs.columns if ":" in str(name)]
    return {name.partition(":")[2]: (name, _type(runs[name])) for name in columns}


def _type(values: pd.Series) -> type:
    kinds = {type(value) for value in values.dropna()}
    if kinds <= {bool, np.bool_}:
        return bool
    return str if kinds & {str, bool, np.bool_} else float


def _choices(runs: pd.DataFrame, params: Mapping[str, tuple[str, type]]) -> dict[str, list[str]]:
    """Return the values of each parameter that is text and has few, by its name on the page."""
    found = {
        name: sorted({str(value) for value in runs[column].dropna()})
        for name, (column, kind) in params.items()
        if kind is str
    }
    return {name: values for name, values in found.items() if len(values) <= _MOST_CHOICES}


def _params(
    runs: pd.DataFrame, params: Mapping[str, tuple[str, type]], place: int
) -> dict[str, Parameter]:
    found = {}
    for name, (column, kind) in params.items():
        value = runs[column].iat[place]
        if value is not None and not (isinstance(value, float) and np.isnan(value)):
            found[name] = kind(value)
    return found
