"""`thaw recipes`: what known recipes there are, and one of them as a schedule."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from thaw.overrides import split_overrides
from trainables.spec import TrialSpec
from trainables.systems import recipe_book, system
from training.errors import UserError
from training.schedule import Schedule

_MANY = 5
"""Of more stages the first three and the last are listed."""


def recipe_spec(
    system_name: str,
    name: str,
    pairs: Sequence[str],
    data: str | None,
    seed: int,
    epochs: int | None,
) -> TrialSpec:
    """Return the trial that a recipe means for a model and its data."""
    book = recipe_book(system_name)
    task = split_overrides(system_name, (), pairs, data)[0]
    config = system(system_name).Settings.parse(task, "task")
    schedule = book.recipe_schedule(name, config, seed=seed, epochs=epochs)
    return TrialSpec(system=system_name, task=task, schedule=schedule)


def list_recipes(
    system_name: str, pairs: Sequence[str], data: str | None, epochs: int | None, console: Console
) -> None:
    """Print each recipe with its epochs, its stages and its source."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("recipe", no_wrap=True)  # a name that is cut cannot be given
    for heading in ("what", "epochs", "stages", "from"):
        table.add_column(heading, overflow="fold")
    for name, recipe in recipe_book(system_name).RECIPES.items():
        try:
            spec = recipe_spec(system_name, name, pairs, data, 0, epochs)
        except UserError as error:
            length, stages = "-", str(error)
        else:
            length, stages = _shown(spec.schedule)
        table.add_row(name, recipe.what, length, stages, recipe.source)
    console.print(table)
    console.print(
        "thaw train unfreeze_timing --recipe NAME trains one, thaw recipes NAME prints it as YAML."
    )


def _shown(schedule: Schedule) -> tuple[str, str]:
    """Return the epochs on the target task and the stages as text."""
    stages = [f"{stage.name} {stage.epochs}" for stage in schedule.stages]
    if len(stages) > _MANY:
        stages = [*stages[:3], "...", stages[-1]]
    length = sum(s.epochs for s in schedule.stages if s.data == schedule.objective)
    return str(length), ", ".join(stages)
