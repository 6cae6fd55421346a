"""One search: a study, Optuna, a scheduler, warm slots, and a folder of results."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from ray import tune
from rich.console import Console

from search_spaces.dimensions import Ask
from search_spaces.study import Study, config_of
from search_spaces.study import study as find_study
from thaw.budgeting import StoreBudget
from thaw.callbacks import Bookkeeper
from thaw.cluster import connected, has_gpus, num_slots
from thaw.results import SEARCH, Row, Table, read_search, write_search
from thaw.sampling import make_sampler, open_study, to_go_on
from thaw.scheduling import make_scheduler
from thaw.searcher import Proposal, ScheduleSearcher
from thaw.view import View
from trainables.pool import Workers
from trainables.slot import Assignment, Slot
from trainables.spec import TrialSpec
from training.errors import UserError
from training.settings import Place
from training.sizes import parse_bytes
from training.store import Store
from training.task import facts_of
from training.walk import foresee

_SLOT_MEMORY_BYTES = 400 * 2**20
_TRIAL_RETRIES = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a search is run; what is searched is the study's."""

    study: str
    """Name of the study, or the path of its file."""
    trials: int
    seed: int
    out: str
    store: str
    store_budget: str | None = None
    """Size that the store must fit, such as 20GB; None keeps all states."""
    scheduler: str = "asha"
    rung_by: str = "progress"
    """What the scheduler's rungs compare: `progress` or `epochs`."""
    sampler: str = "tpe"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    storage: str | None = None
    """URL of Optuna's storage; None is SQLite in the results folder."""
    resume: bool = False
    """Go on with the search in `out`."""
    address: str | None = None
    workers_per_trial: int = 1
    cpus_per_worker: float = 1
    gpus_per_trial: float | None = None
    """GPUs of one trial over all its workers; None takes one a worker where the cluster has any."""
    max_concurrent: int | None = None


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
    if not options.resume:
        _check_fresh(folder, options.out)
    budget_bytes = parse_bytes(options.store_budget or "0B", "--store-budget")
    make_sampler(options.sampler, options.sampler_options, options.seed, 0)
    make_scheduler(study, options.scheduler, options.rung_by)
    config = config_of(study, task)
    spec = TrialSpec(
        system=study.system, task=task, schedule=_first_schedule(study, config, pinned)
    )
    spec.build_task().build(options.seed)  # what is wrong with data, weights or layers is said
    spec.facts(Place())  # before anything starts
    store = Store(options.store)
    with connected(options.address):
        workers = _workers(options, store)
        slots = num_slots(workers, options.max_concurrent)
        place = Place(
            device="cuda" if workers.gpus_per_worker else "cpu",
            world_size=workers.num_workers,
            num_threads=max(1, int(workers.cpus_per_worker)),
        )
        facts = facts_of(spec.build_task(), seed=options.seed, place=place)
        spec.schedule.check(facts)
        write_search(
            folder,
            {
                "study": study.name,
                "system": study.system,
                "task": task,
                "pinned": pinned,
                "metric": study.metric,
                "mode": study.mode,
                "place": asdict(place),
                "options": asdict(options)
                | {"store": _absolute(options.store), "study": _absolute_file(options.study)},
            },
        )

        def propose(trial: optuna.Trial | FrozenTrial) -> Proposal:
            ask = Ask(trial, pinned)
            schedule = study.space(ask, config, options.seed)
            schedule.check(facts)
            told = trial.user_attrs if isinstance(trial, FrozenTrial) else {}
            until = told.get("segments", 0)
            assignment = Assignment(
                f"{trial.number:04}",
                spec.model_copy(update={"schedule": schedule}),
                facts,
                until,
                told.get("ended", ""),
            )
            keys = foresee(schedule, facts)
            return Proposal(trial, ask.values, assignment, keys[: until or len(keys)])

        storage = options.storage or f"sqlite:///{folder / 'optuna.db'}"
        opened = open_study(study, pinned, storage, resume=options.resume)
        table = Table(study.metric, study.mode)
        resumed = []
        if options.resume:
            resumed = _take_up(opened, folder, table, propose)
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
            budget = StoreBudget(store, budget_bytes, searcher, table) if budget_bytes else None
            keeper = Bookkeeper(table, view, folder, options.scheduler.upper(), budget)
            try:
                _tune(study, options, folder, workers, slots, searcher, keeper)
            finally:
                if budget is not None:
                    budget.close()
    _mark_interrupted(table)
    table.write(folder)
    return table


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


def _first_schedule(study: Study, config: Any, pinned: dict[str, Any]) -> Any:
    """Return the schedule of the study's first point, or of any values, to check the task with."""
    values = {dimension.name: _some_value(dimension) for dimension in study.dimensions}
    trial = optuna.trial.FixedTrial(values | dict(study.points[0] if study.points else {}))
    return study.space(Ask(trial, pinned), config, 0)


def _some_value(dimension: Any) -> Any:
    return dimension.values[0] if hasattr(dimension, "values") else dimension.low


def _workers(options: Options, store: Store) -> Workers:
    gpus = options.gpus_per_trial
    if gpus is None:
        gpus = float(options.workers_per_trial) if has_gpus() else 0.0
    return Workers(
        store=_absolute(store.url),
        num_workers=options.workers_per_trial,
        cpus_per_worker=options.cpus_per_worker,
        gpus_per_worker=gpus / options.workers_per_trial,
    )


def resumed_search(out: str) -> tuple[Study, dict[str, Any], dict[str, Any], Options]:
    """Return study, task, pinned dimensions and options of the search in a folder, to go on.

    Raises `UserError` where there is none.
    """
    facts, _ = read_search(Path(out))
    options = Options(**facts["options"] | {"resume": True, "out": out})
    return find_study(facts["options"]["study"]), facts["task"], facts["pinned"], options


def _take_up(
    opened: optuna.Study,
    folder: Path,
    table: Table,
    propose: Callable[[optuna.Trial | FrozenTrial], Proposal],
) -> list[Proposal]:
    """Return the trials of the earlier run as proposals, and put those that failed in the table.

    The folders of the others are removed: replaying writes them anew, from the store.
    """
    _, rows = read_search(folder)
    for row in rows:
        if row["status"] == "failed":
            known = Row.from_plain(row, table.metric)
            table.rows[known.trial] = known
    kept = {row.folder for row in table.rows.values()}
    for entry in folder.iterdir():
        if entry.is_dir() and re.fullmatch(r"\d{4,}", entry.name) and entry.name not in kept:
            shutil.rmtree(entry)
    proposals = []
    values = {t.number: t.intermediate_values for t in opened.get_trials(deepcopy=False)}
    for trial in to_go_on(opened):
        proposal = propose(trial)
        proposal.reported.update(values[trial.number])
        proposals.append(proposal)
    return proposals


def _check_fresh(folder: Path, out: str) -> None:
    if folder.exists() and any(folder.iterdir()):
        hint = f", or go on with --resume {out}" if (folder / SEARCH).exists() else ""
        raise UserError(f"--out {out}: is not empty; name a new folder{hint}")


def _absolute_file(study: str) -> str:
    return str(Path(study).absolute()) if study.endswith(".py") else study


def _absolute(url: str) -> str:
    return url if "://" in url else str(Path(url).absolute())


def _trial_name(trial: Any) -> str:
    name: str = trial.config["schedule"].name
    return name


def _mark_interrupted(table: Table) -> None:
    for row in table.rows.values():
        if row.status == "running":
            row.status, row.ended = "interrupted", f"interrupted at epoch {row.epochs}"


def default_folder(study: Study) -> str:
    """Return the folder of results where none is named: the study and the time."""
    return f"results/{study.name}-{time.strftime('%Y%m%d-%H%M%S')}"
