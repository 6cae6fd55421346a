"""Schedules as what they do: the settings of each epoch on the target task."""

from functools import cache

from training.classification import Classification, ClassifierConfig
from training.record import Record
from training.schedule import Facts, Schedule
from training.settings import Place, Settings
from training.task import facts_of
from training.walk import UNKNOWN


@cache
def facts(model: str = "test_resnet") -> Facts:
    """Return the facts of a model on the embedded data."""
    return facts_of(Classification(ClassifierConfig(model=model)), seed=0, place=Place())


def layers(model: str) -> tuple[str, ...]:
    """Return the layer groups of a model."""
    return dict(facts(model).layers)["model"]


def realised(schedule: Schedule, model: str = "test_resnet") -> list[Settings]:
    """Return the settings of each epoch on the target task."""
    found: list[Settings] = []
    history: list[Record] = []
    while (settings := schedule.next(history, facts(model))) is not None:
        history.append(UNKNOWN)
        found.append(settings)
    return [settings for settings in found if settings.data == "target"]


def frozen(settings: Settings) -> set[str]:
    """Return the groups that do not train."""
    return {layer for layer, value in settings.multipliers if value is None}


def rates(settings: Settings, step: int) -> dict[str, float]:
    """Return layer group -> LR of those that train, at one step of the epoch."""
    return {
        layer: settings.lrs[step] * value
        for layer, value in settings.multipliers
        if value is not None
    }


def group_lrs(epochs: list[Settings], layer: str) -> list[float]:
    """Return the LR of a group at all steps of these epochs, in all of which it trains."""
    return [lr * (dict(s.multipliers)[layer] or 0) for s in epochs for lr in s.lrs]
