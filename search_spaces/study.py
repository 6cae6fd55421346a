"""A study: a question about schedules, its dimensions, and the schedule that each answer means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from search_spaces.columns import check_columns
from search_spaces.dimensions import Ask, Dimension
from trainables.systems import load, system
from training.config import Config
from training.errors import UserError, unknown
from training.schedule import Schedule

STUDIES = {
    "unfreeze_timing": "search_spaces.unfreeze_timing",
    "unfreeze_rule": "search_spaces.unfreeze_rule",
    "lr_sequence": "search_spaces.lr_sequence",
    "progressive": "search_spaces.progressive",
    "from_recipes": "search_spaces.from_recipes",
    "stage2_lr": "search_spaces.stage2_lr",
    "cyclic_lambda": "search_spaces.cyclic_lambda",
    "training_length": "search_spaces.training_length",
}
"""Study -> its module, which holds the `Study` as `STUDY`; imported when it is asked for."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A search space over schedules of one system."""

    name: str
    question: str
    """What the search answers, in one sentence."""
    system: str
    """Which system is trained."""
    dimensions: tuple[Dimension, ...]
    """All dimensions in the order in which they are asked: early ones fork early."""
    space: Callable[[Ask, Any, int], Schedule]
    """(ask, task configuration, seed) -> schedule; define-by-run, and pure."""
    points: tuple[Mapping[str, Any], ...] = ()
    """Values to be tried first."""
    metric: str = "val_accuracy"
    """What is ranked, on the data set of the last stage."""
    mode: str = "max"
    max_epochs: int
    """The most epochs that a trial of this study spends on the data set of its last stage."""
    grace_epochs: int
    """Epochs before which no trial is stopped."""
    rung_by: str = "progress"
    """What trials are compared by while they run, where the user does not say: see `--rung-by`."""
    strategies: Callable[..., Mapping[str, Schedule]] | None = None
    """(task configuration, seed=...) -> named schedules whose cost `thaw plan` tells beside."""
    hours_per_epoch: Callable[[Any], Mapping[str, float]] = lambda config: {}
    """Task configuration -> device-hours of an epoch of each model, where they are known."""
    lengths: Callable[[Any], tuple[int, int]] | None = None
    """Task configuration -> `max_epochs` and `grace_epochs`, where they hang on it."""
    allows: Callable[[Any, Mapping[str, Any]], bool] = lambda config, point: True
    """(task configuration, one of `points`) -> whether it can be tried."""

    def __post_init__(self) -> None:
        """Raise `UserError` for a dimension whose values the table of a search could not hold."""
        names = (dimension.name for dimension in self.dimensions)
        check_columns(names, self.metric, f"study {self.name}: dimension")

    def dimension(self, name: str) -> Dimension:
        """Return a dimension by name."""
        found = {dimension.name: dimension for dimension in self.dimensions}
        if name not in found:
            raise unknown("dimension", name, found)
        return found[name]

    def sized(self, config: Any) -> Study:
        """Return the study with the lengths and points that it has under `config` of the task."""
        ends = (
            (self.max_epochs, self.grace_epochs) if self.lengths is None else self.lengths(config)
        )
        points = tuple(point for point in self.points if self.allows(config, point))
        return replace(self, max_epochs=ends[0], grace_epochs=ends[1], points=points)


def study(name: str) -> Study:
    """Return a study by its name in `STUDIES` or by the path of a Python file with a `STUDY`.

    Raises `UserError` where there is none.
    """
    found = getattr(load(name, STUDIES, "study"), "STUDY", None)
    if not isinstance(found, Study):
        raise UserError(f"study {name}: holds no `STUDY` of type search_spaces.study.Study")
    return found


def config_of(chosen: Study, values: Mapping[str, Any]) -> Config:
    """Return the validated configuration of the study's task."""
    return system(chosen.system).Settings.parse(dict(values), "task")
