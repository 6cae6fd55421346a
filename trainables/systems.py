"""The systems that can be trained: one line each."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from training.config import Config
from training.errors import unknown
from training.schedule import Schedule
from training.task import Task

SYSTEMS = {
    "classifier": "trainables.classifier",
}
"""System -> the module that offers it; imported when it is asked for."""


class System(Protocol):
    """What a module in `SYSTEMS` offers."""

    Settings: type[Config]
    """Configuration of the task."""

    def build(self, config: Any) -> Task:
        """Build the task; raise `UserError` where the configuration does not serve."""

    def baseline(self, config: Any, *, seed: int) -> Schedule:
        """Return the schedule that a careful user would take without a search."""


def system(name: str) -> System:
    """Return the module of a system; raise `UserError` where there is none of that name."""
    if name not in SYSTEMS:
        raise unknown("system", name, SYSTEMS)
    module: Any = import_module(SYSTEMS[name])
    return module  # type: ignore[no-any-return]
