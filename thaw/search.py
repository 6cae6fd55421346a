"""One search: a study, Optuna, a scheduler, warm slots, and a folder of results."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from search_spaces.dimensions import Ask
from search_spaces.grid import grid
from search_spaces.study import Study, config_of
from thaw.asking import OptunaSource
from thaw.cluster import connected, num_slots, place_of, workers_of
from thaw.fusing import Fusing
from thaw.mirror import results_folder
from thaw.options import DEVICES, Options
from thaw.preparing import prepare
from thaw.proposer import Proposer
from thaw.results import Table, write_search
from thaw.resume import check_same, take_up
from thaw.running import Run, run_trials
from thaw.sampling import GRID, SEVERAL_OBJECTIVES, check_sampler, make_sampler, open_study
from thaw.scheduling import PAUSING, SCHEDULERS, Clock, make_scheduler
from thaw.worth import worth_of
from trainables.spec import TrialSpec
from trainables.systems import system
from training.device_share import device_share
from training.errors import UserError, unknown
from training.settings import Place
from training.sizes import parse_bytes
from training.store import Store


def search(
    study: Study,
    task: dict[str, Any],
    pinned: dict[str, Any],
    options: Options,
    console: Console,
) -> Table:
    """Run a search and return its table; everything is in `options.out` when it ends.

    A search that is interrupted or comes to a halt returns too: see `run_trials`.
    """
    with results_folder(options.out, is_new=not options.resume) as folder:
        return _search(study, task, pinned, options, console, folder)


def _search(
    study: Study,
    task: dict[str, Any],
    pinned: dict[str, Any],
    options: Options,
    console: Console,
    folder: Path,
) -> Table:
    config = config_of(study, task)
    study = study.sized(config)
    _check(study, options)
    spec = TrialSpec(
        system=study.system,
        task=task,
        schedule=_first_schedule(study, config, pinned, options.seed),
    )
    prepare(system(study.system), config)
    fusing = _fusing(spec, options)  # what is wrong with data, weights or layers is said
    spec.facts(Place())  # before anything starts
    store = Store(options.store)
    store.files.check()
    with connected(options.address):
        workers = workers_of(options)
        slots = num_slots(workers, options.max_concurrent)
        facts = spec.facts(place_of(workers, options.device))
        if options.resume:
            check_same(folder, facts)
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
                "root": facts.root,
                "options": options.plain(),
            },
        )
        replay_ends = options.scheduler not in PAUSING
        propose = Proposer(study, config, pinned, spec, facts, replay_ends=replay_ends)
        storage = options.storage or f"sqlite:///{folder / 'optuna.db'}"
        points = list(grid(study, config, pinned)) if options.sampler == GRID else None
        opened = open_study(
            study, pinned, storage, points=points, pareto=options.pareto, resume=options.resume
        )
        table = Table(study.metric, study.mode, num_trials=options.trials)
        source = OptunaSource(
            opened,
            propose,
            num_trials=options.trials,
            sampler=lambda number: make_sampler(
                options.sampler, options.sampler_options, options.seed, number
            ),
            refused=table.refuse,
        )
        resumed = take_up(opened, source, folder, table) if options.resume else []
        run = Run(
            folder=folder,
            title=study.name,
            num_trials=options.trials,
            store=store,
            workers=workers,
            slots=slots,
            scheduler=make_scheduler(
                study,
                options.scheduler,
                options.rung_by,
                population=lambda interval: propose.population(interval),
            ),
            scheduler_name=options.scheduler,
            store_budget=options.store_budget,
            worth=worth_of(options, study),
            fusing=fusing,
        )
        run_trials(run, source, table, console, resumed)
    return table


def _check(study: Study, options: Options) -> None:
    """Raise `UserError` for options that cannot be, before anything is done."""
    device_share()
    if options.store_budget is not None:
        parse_bytes(options.store_budget, "--store-budget")
    check_sampler(options.sampler, options.sampler_options)
    if options.pareto and options.sampler not in SEVERAL_OBJECTIVES:
        raise UserError(
            f"--pareto: sampler {options.sampler} knows one objective only; "
            f"allowed: {', '.join(SEVERAL_OBJECTIVES)}"
        )
    if options.scheduler not in SCHEDULERS:
        raise unknown("--scheduler", options.scheduler, SCHEDULERS)
    if options.device not in (None, *DEVICES):
        raise unknown("--device", options.device, DEVICES)
    if options.hours_per_point is not None and options.scheduler in PAUSING:
        raise UserError(
            f"--hours-per-point: {options.scheduler} lets stopped trials go on, which it ends for "
            "good; take --scheduler asha or none"
        )
    Clock(study, options.rung_by)


def _fusing(spec: TrialSpec, options: Options) -> Fusing | None:
    """Build the task's models; return who says which trials share a pass, if any do."""
    task = spec.build_task()
    models = task.build(options.seed)
    if options.fuse == 1:
        return None
    if options.workers_per_trial > 1:
        raise UserError(f"--fuse {options.fuse}: several workers train one trial; allowed: 1")
    return Fusing(options.fuse, task, models)


def _first_schedule(study: Study, config: Any, pinned: dict[str, Any], seed: int) -> Any:
    """Return the schedule of the study's first point, or of any values, to check the task with."""
    values = {dimension.name: _some_value(dimension) for dimension in study.dimensions}
    trial = optuna.trial.FixedTrial(values | dict(study.points[0] if study.points else {}))
    return study.space(Ask(trial, pinned), config, seed)


def _some_value(dimension: Any) -> Any:
    return dimension.values[0] if hasattr(dimension, "values") else dimension.low
