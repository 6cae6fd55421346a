"""One search: a study, Optuna, a scheduler, warm slots, and a folder of results."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from rich.console import Console

from search_spaces.dimensions import Ask
from search_spaces.study import Study, config_of
from thaw.callbacks import Bookkeeper
from thaw.cluster import connected, has_gpus, num_slots
from thaw.results import Table, write_search
from thaw.searcher import Proposal, ScheduleSearcher
from thaw.view import View
from trainables.pool import Workers
from trainables.slot import Assignment, Slot
from trainables.spec import TrialSpec
from training.errors import UserError
from training.settings import Place
from training.store import Store
from training.task import facts_of
from training.walk import foresee

_SLOT_MEMORY_BYTES = 400 * 2**20
_TRIAL_RETRIES = 2
SCHEDULERS = ("asha", "none")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a search is run; what is searched is the study's."""

    trials: int
    seed: int
    out: str
    store: str
    scheduler: str = "asha"
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
    folder = _fresh_folder(options.out)
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
                "options": asdict(options) | {"store": _absolute(options.store)},
            },
        )

        def propose(trial: optuna.Trial) -> Proposal:
            ask = Ask(trial, pinned)
            schedule = study.space(ask, config, options.seed)
            schedule.check(facts)
            assignment = Assignment(
                f"{trial.number:04}", spec.model_copy(update={"schedule": schedule}), facts
            )
            return Proposal(trial, ask.values, assignment, foresee(schedule, facts))

        searcher = ScheduleSearcher(
            _optuna_study(study, pinned, folder, options.seed),
            propose,
            store=store,
            metric=study.metric,
            num_trials=options.trials,
            num_slots=slots,
        )
        table = Table(study.metric, study.mode)
        title = f"{study.name} on {slots} slot{'s' if slots > 1 else ''}"
        with View(console, table, num_trials=options.trials, title=title) as view:
            keeper = Bookkeeper(table, view, folder, options.scheduler.upper())
            _tune(study, options, folder, workers, slots, searcher, keeper)
        searcher.close()
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
            scheduler=_scheduler(study, options.scheduler),
            num_samples=options.trials,
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


def _scheduler(study: Study, name: str) -> TrialScheduler:
    """Return the scheduler; its time is the epochs on the objective's data, which only grow."""
    if name == "none":
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr="epoch",
        max_t=study.max_epochs,
        grace_period=study.grace_epochs,
        reduction_factor=3,
    )


def _optuna_study(study: Study, pinned: dict[str, Any], folder: Path, seed: int) -> optuna.Study:
    """Create the Optuna study in the results folder, with the study's points first."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    created = optuna.create_study(
        storage=f"sqlite:///{folder / 'optuna.db'}",
        study_name=study.name,
        direction="maximize" if study.mode == "max" else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
    )
    for point in study.points:
        free = {name: value for name, value in point.items() if name not in pinned}
        created.enqueue_trial(free, skip_if_exists=True)
    return created


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


def _fresh_folder(out: str) -> Path:
    folder = Path(out).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"--out {out}: is not empty; name a new folder, or leave --out away")
    return folder


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
