"""Training trials of a search for longer, for the price of the difference."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from thaw.choosing import choose
from thaw.lists import Item, run_list
from thaw.results import Table
from training.extension import extended
from training.settings import Place


def extend(
    folder: Path, which: str, *, num_epochs: int, lr: float | None, out: str, console: Console
) -> Table:
    """Train the trials that `which` names up to `num_epochs` epochs; see `extended`."""
    searched, chosen = choose(folder, which)
    place = Place(**searched["place"])
    items = []
    for trial in chosen:
        facts = trial.spec.facts(place)
        schedule = extended(trial.spec.schedule, num_epochs, facts, lr=lr)
        values = {"epochs_before": trial.epochs, "best_before": trial.best}
        items.append(Item(trial.name, values, trial.spec.with_schedule(schedule)))
    return run_list(items, kind="extend", searched=searched, out=out, console=console)
