"""One search: a study, Optuna, a scheduler, warm slots, and a folder of results."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from rich.console import Console

from search_spaces.dimensions import Ask
from search_spaces.study import Study, config_of
from thaw.budgeting import StoreBudget
from thaw.callbacks import Bookkeeper
from thaw.cluster import connected, has_gpus, num_slots
from thaw.options import Options, absolute
from thaw.proposer import Proposer
from thaw.results import SEARCH, Table, write_search
from thaw.resume import take_up
from thaw.sampling import make_sampler, open_study
from thaw.scheduling import make_scheduler
from thaw.searcher import ScheduleSearcher
from thaw.view import View
from trainables.pool import Workers
from trainables.slot import Slot
from trainables.spec import TrialSpec
from training.errors import UserError
from training.settings import Place
from training.sizes import parse_bytes
from training.store import Store

_SLOT_MEMORY_BYTES = 400 * 2**20
_TRIAL_RETRIES = 2


def search(
    study: Study,
    task: dict[str, Any],
    pinned: dict[str, Any],
    options: Options,
    console: Console,
) -> Table:
    """Run a search and return its table; everything is in `options.out` when it ends.

    An interrupted search returns too: its trials are marked, and their segments are in the store.
    """
    folder = Path(options.out).absolute()
    _check(study, options, folder)
    config = config_of(study, task)
    spec = TrialSpec(
        system=study.system,
        task=task,
        schedule=_first_schedule(study, config, pinned, options.seed),
    )
    spec.build_task().build(options.seed)  # what is wrong with data, weights or layers is said
    spec.facts(Place())  # before anything starts
    store = Store(options.store)
    with connected(options.address):
        workers = _workers(options)
        slots = num_slots(workers, options.max_concurrent)
        facts = spec.facts(_place(workers))
        write_search(
            folder,
            {
                "study": study.name,
                "system": study.system,
                "task": task,
                "pinned": pinned,
                "metric": study.metric,
                "mode": study.mode,
                "place": asdict(facts.place),
                "options": options.plain(),
            },
        )
        propose = Proposer(study, config, pinned, spec, facts)
        storage = options.storage or f"sqlite:///{folder / 'optuna.db'}"
        opened = open_study(study, pinned, storage, resume=options.resume)
        table = Table(study.metric, study.mode)
        resumed = take_up(opened, folder, table, propose) if options.resume else []
        table.write(folder)
        searcher = ScheduleSearcher(
            opened,
            propose,
            store=store,
            metric=study.metric,
            num_trials=options.trials,
            num_slots=slots,
            sampler=lambda number: make_sampler(
                options.sampler, options.sampler_options, options.seed, number
            ),
            resumed=resumed,
        )
        title = f"{study.name} on {slots} slot{'s' if slots > 1 else ''}"
        with View(console, table, num_trials=options.trials, title=title) as view:
            budget = _budget(options, store, searcher, table)
            keeper = Bookkeeper(table, view, folder, options.scheduler.upper(), budget)
            try:
                _tune(study, options, folder, workers, slots, searcher, keeper)
            finally:
                if budget is not None:
                    budget.close()
    _mark_interrupted(table)
    table.write(folder)
    return table


def _check(study: Study, options: Options, folder: Path) -> None:
    """Raise `UserError` for options that cannot be, before anything is done."""
    if not options.resume and folder.exists() and any(folder.iterdir()):
        hint = f", or go on with --resume {options.out}" if (folder / SEARCH).exists() else ""
        raise UserError(f"--out {options.out}: is not empty; name a new folder{hint}")
    if options.store_budget is not None:
        parse_bytes(options.store_budget, "--store-budget")
    make_sampler(options.sampler, options.sampler_options, options.seed, 0)
    make_scheduler(study, options.scheduler, options.rung_by)


def _place(workers: Workers) -> Place:
    return Place(
        device="cuda" if workers.gpus_per_worker else "cpu",
        world_size=workers.num_workers,
        num_threads=max(1, int(workers.cpus_per_worker)),
    )


def _budget(
    options: Options, store: Store, searcher: ScheduleSearcher, table: Table
) -> StoreBudget | None:
    if options.store_budget is None:
        return None
    num_bytes = parse_bytes(options.store_budget, "--store-budget")
    return StoreBudget(store, num_bytes, searcher, table)


def _tune(
    study: Study,
    options: Options,
    folder: Path,
    workers: Workers,
    slots: int,
    searcher: ScheduleSearcher,
    keeper: Bookkeeper,
) -> None:
    resources = tune.PlacementGroupFactory([{"memory": _SLOT_MEMORY_BYTES}])
    tune.Tuner(
        tune.with_resources(tune.with_parameters(Slot, workers=workers), resources),
        tune_config=tune.TuneConfig(
            metric=study.metric,
            mode=study.mode,
            search_alg=searcher,
            scheduler=make_scheduler(study, options.scheduler, options.rung_by),
            num_samples=searcher.num_to_run,
            max_concurrent_trials=slots,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            callbacks=[keeper],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=_TRIAL_RETRIES),
        ),
    ).fit()


def _first_schedule(study: Study, config: Any, pinned: dict[str, Any], seed: int) -> Any:
    """Return the schedule of the study's first point, or of any values, to check the task with."""
    values = {dimension.name: _some_value(dimension) for dimension in study.dimensions}
    trial = optuna.trial.FixedTrial(values | dict(study.points[0] if study.points else {}))
    return study.space(Ask(trial, pinned), config, seed)


def _some_value(dimension: Any) -> Any:
    return dimension.values[0] if hasattr(dimension, "values") else dimension.low


def _workers(options: Options) -> Workers:
    gpus = options.gpus_per_trial
    if gpus is None:
        gpus = float(options.workers_per_trial) if has_gpus() else 0.0
    return Workers(
        store=absolute(options.store),
        num_workers=options.workers_per_trial,
        cpus_per_worker=options.cpus_per_worker,
        gpus_per_worker=gpus / options.workers_per_trial,
    )


def _trial_name(trial: Any) -> str:
    name: str = trial.config["schedule"].name
    return name


def _mark_interrupted(table: Table) -> None:
    for row in table.rows.values():
        if row.status == "running":
            row.status, row.ended = "interrupted", f"interrupted at epoch {row.epochs}"
