"""The systems that can be trained: one line each."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from trainables import trust
from training.config import Config
from training.errors import UserError, unknown
from training.rules import ACCURACY
from training.schedule import Schedule
from training.task import Task

SYSTEMS = {
    "classifier": "trainables.classifier",
    "camouflage": "trainables.camouflage",
    "cyclic": "trainables.cyclic",
    "streets": "trainables.streets",
}
"""System -> the module that offers it; imported when it is asked for."""


RECIPES = {
    "classifier": "trainables.recipes",
    "cyclic": "trainables.cyclic_recipes",
}
"""System -> the module with its `RECIPES`, `recipes_for` and `recipe_schedule`, if it has any."""


class System(Protocol):
    """What a module in `SYSTEMS` offers.

    It may also offer `prepare(config, progress)`, which does once what takes long with the data;
    `progress(done, num)` is to be called as it goes on. Commands call it before `build`. `METRIC`
    names what its rules look at where they do not say; without it that is `val_accuracy`.
    `pace(config)` says how many of its epochs stand for one of the monitor's (1),
    `controls(config)` gives name -> maker of schedules that `thaw confirm` compares with besides
    the baseline. For `model.pt` there are `normalisation(config)`, the mean and the spread that are
    taken out of images, and `trained_before(config)`: `epoch` or `iterations` -> how many of them
    the starting weights were trained for.
    """

    Settings: type[Config]
    """Configuration of the task."""

    def build(self, config: Any) -> Task:
        """Build the task; raise `UserError` where the configuration does not serve."""

    def baseline(self, config: Any, *, seed: int) -> Schedule:
        """Return the schedule that a careful user would take without a search."""


def system(name: str) -> System:
    """Return a system by its name in `SYSTEMS` or by the path of a Python file.

    Raises `UserError` where there is none, or where it does not offer what `System` says.
    """
    module: Any = load(name, SYSTEMS, "system")
    for part in ("Settings", "build", "baseline"):
        if not hasattr(module, part):
            raise UserError(f"system {name}: offers no {part!r}")
    return module  # type: ignore[no-any-return]


def own_metric(name: str) -> str:
    """Return what the rules of a system look at where they name no metric."""
    return str(getattr(system(name), "METRIC", ACCURACY))


def recipe_book(name: str) -> ModuleType:
    """Return the module of the recipes of a system; raise `UserError` where it has none."""
    if name not in RECIPES:
        raise UserError(f"--recipe: system {name} has no recipes; those of: {', '.join(RECIPES)}")
    return import_module(RECIPES[name])


def load(name: str, table: dict[str, str], kind: str) -> ModuleType:
    """Import the module that `table` has for `name`, or the Python file `name`, which is noted.

    Where `name` comes from a file of data, `trust.check` comes first.
    """
    if name in table:
        return import_module(table[name])
    if not name.endswith(".py"):
        raise unknown(kind, name, (*table, f"the path of a Python file with a {kind}"))
    path = Path(name).absolute()
    if not path.is_file():
        raise UserError(f"{kind} {name}: no such file")
    known = f"thaw_file_{path}"
    if known not in sys.modules:
        found = spec_from_file_location(known, path)
        assert found is not None and found.loader is not None
        sys.modules[known] = module_from_spec(found)
        sys.path.insert(0, str(path.parent))  # the file may import its neighbours
        try:
            found.loader.exec_module(sys.modules[known])
        except BaseException:
            del sys.modules[known]
            raise
        trust.note(path)
    return sys.modules[known]
