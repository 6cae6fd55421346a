"""One schedule, trained here without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from search_spaces.study import STUDIES, study
from thaw.confusion import class_names, show_confusion, stage_ends
from thaw.confusion_picture import PICTURE, picture
from thaw.export import write_model
from thaw.mirror import folder_of
from thaw.overrides import split_overrides
from thaw.pictures import write_picture
from thaw.predictions import PICTURE as PREDICTIONS
from thaw.predictions import prediction_ends, prediction_picture
from thaw.preparing import prepare
from thaw.train_log import LOG, write_log
from thaw.watch import watch_of
from trainables.spec import TrialSpec
from trainables.systems import recipe_book, system
from training.errors import UserError
from training.settings import Place
from training.store import Store
from training.trainer import Trainer
from training.walk import Visit, walk


def spec_of(
    what: str,
    pairs: Sequence[str],
    data: str | None,
    seed: int | None,
    recipe: str | None = None,
    epochs: int | None = None,
) -> TrialSpec:
    """Return the trial that a study's baseline or a file describes, with the overrides applied.

    A `recipe` stands for the baseline; `epochs` are its length.
    """
    if epochs is not None and recipe is None:
        raise UserError(f"--epochs {epochs}: only a recipe (--recipe) has a length to choose")
    if what in STUDIES or what.endswith(".py"):
        found = study(what)
        task, pinned = split_overrides(found.system, found.dimensions, pairs, data)
        if pinned:
            raise UserError(f"--set {next(iter(pinned))}: only a search has this dimension")
        module = system(found.system)
        config = module.Settings.parse(task, "task")
        schedule = module.baseline(config, seed=seed or 0)
        if recipe is not None:
            book = recipe_book(found.system)
            schedule = book.recipe_schedule(recipe, config, seed=seed or 0, epochs=epochs)
        return TrialSpec(system=found.system, task=task, schedule=schedule)
    if not Path(what).is_file():
        raise UserError(
            f"{what!r} is neither a study nor a schedule file; studies: {', '.join(STUDIES)}"
        )
    if recipe is not None:
        raise UserError(f"--recipe {recipe}: {what} is a schedule already; name a study")
    spec = TrialSpec.read(what)
    fields = _task_fields(spec, pairs) | ({} if data is None else {"data": data})
    schedule = spec.schedule if seed is None else spec.schedule.model_copy(update={"seed": seed})
    changed = spec.model_copy(update={"task": spec.task | fields, "schedule": schedule})
    changed.config()
    return changed


def train_spec(
    spec: TrialSpec, *, store_url: str, out: str | None, num_threads: int, console: Console
) -> None:
    """Walk the schedule and show each segment; write model and schedule to `out`."""
    if out is not None:
        folder_of(out)  # before anything is trained
    prepare(system(spec.system), spec.config())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    place = Place(device=device, num_threads=num_threads)
    facts = spec.facts(place)
    store = Store(store_url)
    trainer = Trainer(
        spec.build_task(), root=facts.root, seed=spec.schedule.seed, store=store, place=place
    )
    table = Table("segment", "stage", "LR", box=None, pad_edge=False)
    visits: list[Visit] = []
    decisions = Text(style="yellow")
    watch, said = watch_of(spec, "segment"), ""
    with Live(Group(table, decisions), console=console):
        for visit in walk(spec.schedule, facts, store, trainer.train):
            visits.append(visit)
            _add_row(table, visit, spec.schedule.num_epochs)
            if visit.event:
                decisions.append(f"\nsegment {visit.record.index + 1}: {visit.event}")
            if visit.record.data == spec.schedule.objective:
                watch.take(len(visits), visit.record.metrics)
            if watch.kind not in ("", said):
                decisions.append(f"\nsegment {len(visits)}: {watch.says()}")
            said = watch.kind
    reused = sum(visit.reused for visit in visits)
    console.print(f"\n{visits[-1].ended}: {len(visits) - reused} segments trained, {reused} reused")
    ends = stage_ends(((v.stage, v.record) for v in visits), spec.schedule.objective)
    names = class_names(spec)
    show_confusion(console, ends, names)
    if out is not None:
        last = spec.schedule.way([visit.record for visit in visits])[-1]
        console.print(write_model(spec, store, visits[last].record.key, Path(out)))
        records = (visit.record for visit in visits)
        console.print(write_log(Path(out) / LOG, records, spec.schedule.objective))
        if ends:
            console.print(write_picture(Path(out) / PICTURE, picture(ends, names)))
        drawn = prediction_ends(((v.stage, v.record) for v in visits), spec.schedule.objective)
        if drawn:
            png = prediction_picture(spec, drawn)
            console.print(write_picture(Path(out) / PREDICTIONS, png))


def _task_fields(spec: TrialSpec, pairs: Sequence[str]) -> dict[str, Any]:
    """Return the task fields of `--set`: a schedule file has no dimensions."""
    return split_overrides(spec.system, (), pairs, None)[0]


def _add_row(table: Table, visit: Visit, num_segments: int) -> None:
    """Show a segment; metrics with a slash in their name are details, for the logs."""
    record = visit.record
    metrics = {name: value for name, value in record.metrics.items() if "/" not in name}
    if len(table.columns) == 3:
        for name in (*metrics, "seconds"):
            table.add_column(name.replace("_", " "), justify="right")
    seconds = "reused" if visit.reused else f"{record.device_s:.1f}"
    table.add_row(
        f"{record.index + 1}/{num_segments}",
        visit.stage,
        f"{record.lr_last:.3g}",
        *(f"{value:.4f}" for value in metrics.values()),
        seconds,
    )
