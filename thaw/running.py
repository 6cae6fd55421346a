"""Trials on warm slots under Ray Tune: from a source to a table, in a folder of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback
from ray.tune.schedulers import TrialScheduler
from rich.console import Console

from thaw.budgeting import StoreBudget
from thaw.callbacks import Bookkeeper, Halt, Parting
from thaw.cluster import slot_resources
from thaw.forgetting import Forgetting
from thaw.fusing import Fusing
from thaw.leaks import Sweeper
from thaw.mending import mend
from thaw.results import Table, count
from thaw.scheduling import Pauses
from thaw.search_log import log, search_log
from thaw.searcher import ScheduleSearcher
from thaw.stage_images import StageImages
from thaw.trials import Proposal, Source
from thaw.view import View, final_table
from thaw.watching import Watching
from thaw.worth import Worth, watch
from trainables.pool import Workers
from trainables.slot import TRIAL, Slot
from training.sizes import parse_bytes
from training.store import Store
from training.trouble import behind

_TRIAL_RETRIES = 4
"""In a row, without a segment trained in between: nodes may be lost many times in a search."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where trials run, who stops them, and how many there will be."""

    folder: Path
    """Absolute; what is in it stays."""
    title: str
    num_trials: int
    store: Store
    workers: Workers
    slots: int
    scheduler: TrialScheduler
    scheduler_name: str
    store_budget: str | None = None
    worth: Worth | None = None
    """Who ends trials whose next phase is not worth its price, besides the scheduler."""
    fusing: Fusing | None = None
    """Who says which trials that wait are trained beside one that runs."""


def run_trials(
    run: Run, source: Source, table: Table, console: Console, resumed: Sequence[Proposal] = ()
) -> None:
    """Run what `source` has, fill `table`, and print it at the end.

    A run that is interrupted returns too: its trials are marked, and their segments are in the
    store. `table.halted` says why a run came to a halt where the store was full or lost.
    """
    table.write(run.folder)
    with search_log(run.folder):
        log("search began", study=run.title, trials=run.num_trials, slots=run.slots)
        _run(run, source, table, console, resumed)
        _mark_interrupted(table)
        log(
            "search ended",
            **count(table.rows.values()),
            unvisited=table.unvisited or None,
            halted=table.halted or None,
        )
    table.write(run.folder)
    console.print(final_table(table, width=console.width))
    if table.unvisited:
        console.print(f"trained beside others, in vain so far: {table.unvisited} segments")


def _run(
    run: Run, source: Source, table: Table, console: Console, resumed: Sequence[Proposal]
) -> None:
    title = f"{run.title} on {run.slots} slot{'s' if run.slots > 1 else ''}"
    with View(console, table, num_trials=run.num_trials, title=title) as view:
        keeper = Bookkeeper(table, view, run.folder, run.scheduler_name.upper(), run.worth)
        searcher = ScheduleSearcher(
            source,
            store=run.store,
            metric=table.metric,
            mode=table.mode,
            num_slots=run.slots,
            resumed=resumed,
            pausing=run.scheduler.pausing if isinstance(run.scheduler, Pauses) else None,
            restart=keeper.restart,
            fusing=run.fusing,
            trained=keeper.given,
        )
        budget = keeper.budget = _budget(run, searcher, table)
        mend(run.scheduler, run.slots)
        if run.worth is not None:
            watch(run.scheduler, run.worth)
        sweeper = Sweeper()
        sweeper.start()
        try:
            _tune(run, table, searcher, keeper)
        except Exception as error:  # what Tune makes of it, when it is met in this process
            trouble = behind(error)
            if trouble is None:
                raise
            table.halted = table.halted or str(trouble)
        finally:
            sweeper.stop()
            budget.close()


def _budget(run: Run, searcher: ScheduleSearcher, table: Table) -> StoreBudget:
    given = run.store_budget
    num_bytes = None if given is None else parse_bytes(given, "--store-budget")
    return StoreBudget(run.store, num_bytes, searcher, table)


def _tune(run: Run, table: Table, searcher: ScheduleSearcher, keeper: Bookkeeper) -> None:
    resources = tune.PlacementGroupFactory([slot_resources(ray.cluster_resources())])
    tune.Tuner(
        tune.with_resources(tune.with_parameters(Slot, workers=run.workers), resources),
        tune_config=tune.TuneConfig(
            metric=table.metric,
            mode=table.mode,
            search_alg=searcher,
            scheduler=run.scheduler,
            num_samples=-1,  # the searcher says when there are no more
            max_concurrent_trials=run.slots,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=run.folder.name,
            storage_path=str(run.folder.parent),
            callbacks=[
                keeper,
                Parting(searcher.part),
                StageImages(run.store, run.folder),
                Watching(table, run.title, run.num_trials),
                CSVLoggerCallback(),
                JsonLoggerCallback(),
                TBXLoggerCallback(),
                Forgetting(table.metric),
            ],
            stop=Halt(table),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=_TRIAL_RETRIES),
        ),
    ).fit()


def _trial_name(trial: Any) -> str:
    name: str = trial.config[TRIAL].name
    return name


def _mark_interrupted(table: Table) -> None:
    for row in table.rows.values():
        if row.status == "running":
            row.status, row.ended = "interrupted", f"interrupted at epoch {row.epochs}"
