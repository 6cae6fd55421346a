"""`thaw lr-find`: a range test at some point of a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path

import pandas as pd
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.files import write_report
from analysis.range_test import RULES, range_test_document
from thaw.lr_picture import PICTURE, picture
from thaw.mirror import folder_of
from thaw.pictures import write_picture
from trainables.spec import TrialSpec
from training.errors import UserError
from training.layers import match_layers
from training.live import Live
from training.lr_finder import RangeTest, range_test, steepest, valley
from training.record import Record
from training.schedule import Facts
from training.settings import Place, Settings
from training.store import Store
from training.trainer import Trainer
from training.walk import path_to, walk

_ROWS = 12


def lr_find(
    spec: TrialSpec,
    *,
    groups: Sequence[str],
    after: int | None,
    lowest: float,
    highest: float,
    num_steps: int,
    store_url: str,
    out: Path,
    num_threads: int,
    console: Console,
) -> None:
    """Run a range test after `after` segments of the schedule, and write it to `out`.

    None is after what the schedule trains on other data. Batches, image size, optimizer and
    augmentation are those of the stage that follows; `groups` are globs of what trains at the LR,
    by default what that stage trains. Nothing but the segments before is stored.
    """
    if not lowest < highest:
        raise UserError(f"--from {lowest:g}: must be lower than --to {highest:g}")
    folder_of(str(out))  # before anything is trained
    place = Place(device="cuda" if torch.cuda.is_available() else "cpu", num_threads=num_threads)
    facts = spec.facts(place)
    num = _num_before(spec) if after is None else after
    live, settings = _reach(spec, facts, Store(store_url), num, console)
    if groups:
        settings = replace(settings, multipliers=_multipliers(groups, facts, settings))
    trained = [layer for layer, value in settings.multipliers if value is not None]
    with console.status(Text(f"range test of {', '.join(trained)}")):
        found = range_test(
            live,
            spec.build_task(),
            settings,
            spec.schedule.seed,
            lowest=lowest,
            highest=highest,
            num_steps=num_steps,
        )
    _write(found, ", ".join(trained), out, console)


def _num_before(spec: TrialSpec) -> int:
    """Return the segments that come before the data that the schedule is for."""
    stages, count = spec.schedule.stages, 0
    for stage in stages:
        if stage.data == spec.schedule.objective:
            break
        count += stage.epochs
    return count


def _reach(
    spec: TrialSpec, facts: Facts, store: Store, num: int, console: Console
) -> tuple[Live, Settings]:
    """Return the state after `num` segments, and the settings of the next one."""
    schedule, place, task = spec.schedule, facts.place, spec.build_task()
    trainer = Trainer(task, root=facts.root, seed=schedule.seed, store=store, place=place)
    history: list[Record] = []
    with console.status(f"{num} segments before"):
        for visit in islice(walk(schedule, facts, store, trainer.train), num):
            history.append(visit.record)
        settings = schedule.next(history, facts) if len(history) == num else None
        if settings is None:
            raise UserError(
                f"--after {num}: must leave a segment of the schedule; allowed: 0 .. "
                f"{max(0, schedule.num_epochs - 1)}"
            )
        live = Live(task, schedule.seed, place.device)
        if way := schedule.way(history):
            path = path_to(history[way[-1]].key, schedule, facts, store)
            assert path is not None
            state = store.state(path[-1].key)
            if state is None:  # dropped from the store, which keeps all records
                trainer.train(path)
                state = store.state(path[-1].key)
            assert state is not None
            live.load(state, path[-1].settings)
    return live, settings


def _multipliers(
    groups: Sequence[str], facts: Facts, settings: Settings
) -> tuple[tuple[str, float | None], ...]:
    """Return 1 for the layer groups that `groups` take, None for the others."""
    layers = dict(facts.layers)[settings.model]
    table = dict.fromkeys(groups, "trained") | ({} if "*" in groups else {"*": "frozen"})
    rows = match_layers(table, layers, "--groups")
    return tuple((layer, None if table[rows[layer]] == "frozen" else 1.0) for layer in layers)


def _write(found: RangeTest, trained: str, out: Path, console: Console) -> None:
    suggestions = {"valley": valley(found), "steepest": steepest(found)}
    steps = pd.DataFrame({"lr": found.lrs, "loss": found.losses, "smoothed": found.smoothed})
    document = range_test_document(
        steps, suggestions, trained=trained, exploded=found.exploded, made=date.today()
    )
    console.print(_curve_table(steps))
    table = Table("suggestion", "LR", "rule", box=None, pad_edge=False)
    for name, lr in suggestions.items():
        table.add_row(name, "-" if lr is None else f"{lr:.3g}", RULES[name])
    console.print(table)
    console.print(f"\n{document.summary}")
    for path in write_report(document, out):
        if path.suffix == ".html":
            console.print(str(path))
    drawn = picture(found, suggestions, trained)
    console.print(write_picture(out / PICTURE, drawn), soft_wrap=True)


def _curve_table(steps: pd.DataFrame) -> Table:
    """Return some of the steps, spread evenly."""
    table = Table("step", "LR", "loss", "smoothed", box=SIMPLE_HEAD, pad_edge=False)
    last = len(steps) - 1
    for place in range(min(_ROWS, len(steps))):
        index = round(place * last / max(1, min(_ROWS, len(steps)) - 1))
        row = steps.iloc[index]
        table.add_row(
            str(index), f"{row['lr']:.2g}", f"{row['loss']:.4f}", f"{row['smoothed']:.4f}"
        )
    return table
