"""The best schedules of a search again, with more seeds: is the best really better?"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from analysis.files import write_text
from thaw.choosing import Chosen, choose
from thaw.confirmation import Comparison, compare_with
from thaw.lists import Item, run_list
from thaw.options import Options
from thaw.reading import SEARCH
from thaw.results import Table
from thaw.view import shown_value
from trainables.systems import recipe_book, system
from training.schedule import Schedule

Make = Callable[..., Schedule]
"""(task configuration, seed) -> schedule."""
CONFIRM = "confirm.json"
_BASELINE = "baseline"


def confirm(
    folder: Path,
    *,
    top: int,
    num_seeds: int,
    out: str,
    console: Console,
    recipes: Sequence[str] = (),
) -> Table:
    """Train the best `top` schedules and the system's baseline with `num_seeds` new seeds each.

    Known `recipes` take part too, `all` stands for all of them, and where the system has `controls`
    of its own, those. Writes `confirm.json` beside the table, and prints means, spreads and tests.
    """
    searched, chosen = choose(folder, f"best:{top}")
    against = _controls(chosen[0]) | _recipes(chosen[0], recipes)
    first = Options.read(searched["options"], SEARCH).seed + 1
    seeds = range(first, first + num_seeds)
    names = [trial.name for trial in chosen] + list(against)
    items = [item for seed in seeds for item in _items(chosen, against, seed)]
    table = run_list(items, kind="confirm", searched=searched, out=out, console=console)
    compare_seeds(table, names, num_seeds, Path(out), console)
    return table


def compare_seeds(
    table: Table, names: Sequence[str], num_seeds: int, out: Path, console: Console
) -> None:
    """Compare the first of `names` with the others; nothing is told where no trial has finished."""
    values: dict[str, dict[int, float]] = {name: {} for name in names}
    for row in table.rows.values():
        if row.status == "finished" and math.isfinite(row.best):
            values[row.values["origin"]][row.values["seed"]] = row.best
    if not any(values.values()):
        return
    compared = compare_with(names[0], names[1:], values, table.mode)
    write_text(out / CONFIRM, json.dumps(_plain(table.metric, values, compared)))
    _show(console, table.metric, values, compared, num_seeds)


def _controls(some: Chosen) -> dict[str, Make]:
    """Return what the system itself is compared with: its baseline, and more where it has more."""
    module = system(some.spec.system)
    more = getattr(module, "controls", None)
    return {_BASELINE: module.baseline} | (more(some.spec.config()) if more else {})


def _recipes(some: Chosen, names: Sequence[str]) -> dict[str, Make]:
    """Return what makes the schedule of each recipe; raise `UserError` for one that cannot be."""
    if not names:
        return {}
    book = recipe_book(some.spec.system)
    config = some.spec.config()
    every = book.recipes_for(config) if list(names) == ["all"] else names
    makers: dict[str, Make] = {name: partial(book.recipe_schedule, name) for name in every}
    for make in makers.values():
        make(config, seed=0)
    return makers


def _items(chosen: list[Chosen], against: Mapping[str, Make], seed: int) -> list[Item]:
    """Return all schedules with one seed."""
    specs = {trial.name: trial.spec for trial in chosen}
    some = chosen[0].spec
    for name, make in against.items():
        specs[name] = some.with_schedule(make(some.config(), seed=seed))
    return [
        Item(
            f"{name}-seed{seed}",
            {"origin": name, "seed": seed},
            spec.model_copy(update={"schedule": spec.schedule.model_copy(update={"seed": seed})}),
        )
        for name, spec in specs.items()
    ]


def _plain(
    metric: str, values: dict[str, dict[int, float]], compared: list[Comparison]
) -> dict[str, Any]:
    return {
        "metric": metric,
        "values": values,
        "comparisons": [
            {**asdict(comparison), "is_better": comparison.is_better} for comparison in compared
        ],
    }


def _show(
    console: Console,
    metric: str,
    values: dict[str, dict[int, float]],
    compared: list[Comparison],
    num_seeds: int,
) -> None:
    best, *_ = values
    rich = RichTable(
        "schedule",
        "mean",
        "sd",
        "seeds",
        f"{best} is better by",
        "95 % interval",
        "p",
        title=f"{metric} over {num_seeds} new seeds",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    tests = {comparison.other: comparison for comparison in compared}
    for name, of_seed in values.items():
        found = list(of_seed.values())
        mean = shown_value(fmean(found) if found else math.nan, metric)
        spread = shown_value(stdev(found) if len(found) > 1 else math.nan, metric)
        rich.add_row(
            name, mean, spread, f"{len(found)}/{num_seeds}", *_test(tests.get(name), metric)
        )
    console.print(rich)
    for comparison in compared:
        console.print(_verdict(best, comparison, metric))


def _test(comparison: Comparison | None, metric: str) -> tuple[str, str, str]:
    if comparison is None:
        return "", "", ""
    low, high = (shown_value(end, metric) for end in (comparison.low, comparison.high))
    p = "-" if math.isnan(comparison.p) else f"{comparison.p:.3g}"
    return shown_value(comparison.difference, metric), f"{low} .. {high}", p


def _verdict(best: str, comparison: Comparison, metric: str) -> str:
    other = comparison.other
    if comparison.is_better:
        return f"{best} is better than {other} (p = {comparison.p:.3g}, Holm-corrected)"
    if comparison.num_seeds < 2:
        return f"{best} against {other}: cannot tell from {comparison.num_seeds} seeds"
    rather = f"; rather, {other} is" if comparison.high < 0 else ""
    return f"{best} is not shown to be better than {other} (p = {comparison.p:.3g}){rather}"
