"""A matrix of runs as a file: axes, whose combinations are the runs, and in which order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from search_spaces.columns import check_columns
from search_spaces.dimensions import Ask, Given
from search_spaces.study import Study, config_of
from search_spaces.study import study as find_study
from thaw.lists import Item
from trainables import trust
from trainables.spec import TrialSpec
from trainables.systems import system
from training.config import Config
from training.errors import UserError, unknown
from training.plain_files import read_yaml

_STRANGE = re.compile(r"[^\w.+]+")
Named = Annotated[dict[str, dict[str, Any]], Field(min_length=1)]


class MatrixFile(Config):
    """What `thaw matrix` is given."""

    study: str = "training_length"
    """Study whose schedules are trained; its dimensions may stand among the fields below."""
    task: dict[str, Any] = Field(default_factory=dict)
    """Fields of the task, or dimensions, that all runs have."""
    axes: Annotated[dict[str, Named], Field(min_length=1)]
    """Axis -> what it is called in tables -> fields of the task, or dimensions. A run is one of
    each axis."""
    priority: tuple[dict[str, str], ...] = ()
    """Axis -> name; runs that fit the first of them come first, and so on, the others last."""
    hold: tuple[dict[str, str], ...] = ()
    """Likewise: runs that fit one of them are listed as pending and not trained yet."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    """Each run is trained with each of them."""

    @classmethod
    def read(cls, path: Path) -> MatrixFile:
        """Read a YAML file; raise `UserError` that names the file and the field."""
        data = read_yaml(path)
        if not isinstance(data, dict):
            raise UserError(f"{path}: must hold the field `axes`")
        found = cls.parse(data, str(path))
        trust.check(found.study, str(path))
        for field in ("priority", "hold"):
            for number, pattern in enumerate(getattr(found, field)):
                found._check(pattern, f"{path}: {field}.{number}")
        return found

    def _check(self, pattern: Mapping[str, str], where: str) -> None:
        for axis, name in pattern.items():
            if axis not in self.axes:
                raise unknown(f"axis in {where}:", axis, self.axes)
            if name not in self.axes[axis]:
                raise unknown(f"name in {where}.{axis}:", name, self.axes[axis])


@dataclass(frozen=True)
class Planned:
    """One run of a matrix."""

    item: Item
    labels: dict[str, str]
    """Axis -> name."""
    held: bool
    """It is not to be trained yet."""


def planned_runs(matrix: MatrixFile) -> list[Planned]:
    """Return all runs, the most urgent first; raise `UserError` for a field that there is not."""
    found = find_study(matrix.study)
    check_columns(matrix.axes, found.metric, "axes:")
    runs = []
    for names in product(*matrix.axes.values()):
        labels = dict(zip(matrix.axes, names, strict=True))
        for seed in matrix.seeds:
            runs.append(_planned(matrix, found, labels, seed))
    twice = [name for name, num in Counter(run.item.name for run in runs).items() if num > 1]
    if twice:
        raise UserError(f"axes: two runs are called {min(twice)}; choose other names")
    order = [_place(matrix.priority, run.labels) for run in runs]
    return [run for _, run in sorted(zip(order, runs, strict=True), key=lambda pair: pair[0])]


def _place(patterns: tuple[dict[str, str], ...], labels: Mapping[str, str]) -> int:
    """Return the place of the first pattern that fits, their number where none does."""
    fitting = (place for place, p in enumerate(patterns) if p.items() <= labels.items())
    return next(fitting, len(patterns))


def _planned(matrix: MatrixFile, study: Study, labels: dict[str, str], seed: int) -> Planned:
    fields = dict(matrix.task)
    for axis, name in labels.items():
        fields |= matrix.axes[axis][name]
    dimensions = {dimension.name: dimension for dimension in study.dimensions}
    known = system(study.system).Settings.model_fields
    for field in fields:
        if field not in known and field not in dimensions:
            raise unknown("field in axes:", field, (*known, *dimensions))
    task = {name: value for name, value in fields.items() if name in known}
    pinned = {n: dimensions[n].accept(value) for n, value in fields.items() if n in dimensions}
    ask = Ask(Given(dict(study.points[0]) if study.points else {}), pinned)
    schedule = study.space(ask, config_of(study, task), seed)
    shown = {**labels, **{n: v for n, v in ask.values.items() if n not in labels}, "seed": seed}
    parts = [*labels.values(), *([f"seed{seed}"] if len(matrix.seeds) > 1 else [])]
    name = "-".join(_STRANGE.sub("_", part) for part in parts)
    spec = TrialSpec(system=study.system, task=task, schedule=schedule)
    return Planned(Item(name, shown, spec), labels, _place(matrix.hold, labels) < len(matrix.hold))
