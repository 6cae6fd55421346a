"""The same study on both sides of a comparison: thaw, and Ray Tune as a careful user runs it.

Both run on the loop of `_loop.py`, over one `Task` that trains for real; each side counts all that
it would have trained by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile
from typing import Any

import optuna
from ray.tune import Callback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks._loop import Loop, Shelf, Trial, Workshop
from benchmarks._task import Task
from thaw.asking import OptunaSource
from thaw.sampling import make_sampler
from thaw.scheduling import Pauses, make_scheduler
from thaw.searcher import ScheduleSearcher
from trainables.slot import TRIAL, Assignment, results
from training.walk import walk

_REDUCTION = 3


def run_thaw(
    task: Task,
    points: Sequence[Mapping[str, Any]],
    *,
    num_trials: int,
    num_slots: int,
    seed: int,
    callbacks: Sequence[Callback] = (),
    most_trained: float = float("inf"),
    scheduler_name: str = "asha",
    rung_by: str = "epochs",
) -> Loop:
    """Search as `thaw search` does with such options, `points` first; return what was trained."""
    study = task.study
    asked = optuna.create_study(direction="maximize" if study.mode == "max" else "minimize")
    for point in points:
        asked.enqueue_trial(dict(point))
    source = OptunaSource(
        asked,
        task.proposer(),
        num_trials=num_trials,
        sampler=lambda number: make_sampler("tpe", {}, seed, number),
    )
    shop = Workshop(Shelf(), task.train)
    scheduler = make_scheduler(study, scheduler_name, rung_by)
    scheduler.set_search_properties(study.metric, study.mode)

    def begin(trial: Trial) -> Iterator[dict[str, Any]]:
        mine: Assignment = trial.config[TRIAL]
        return results(mine, walk(mine.spec.schedule, task.facts, shop.store, shop.train))

    searcher = ScheduleSearcher(
        source,
        store=shop.store,
        metric=study.metric,
        mode=study.mode,
        num_slots=num_slots,
        pausing=scheduler.pausing if isinstance(scheduler, Pauses) else None,
    )
    loop = Loop(
        searcher,
        scheduler,
        begin,
        num_slots=num_slots,
        publish=shop.publish,
        callbacks=callbacks,
    )
    loop.run(most_trained)
    return loop


def run_plain(
    task: Task,
    points: Sequence[Mapping[str, Any]],
    trunk: Sequence[str],
    *,
    num_trials: int,
    num_slots: int,
    seed: int,
    callbacks: Sequence[Callback] = (),
) -> Loop:
    """Search with Ray Tune's own OptunaSearch and ASHA; every trial begins after `trunk`.

    A trial that diverges ends, as it does in thaw; Ray alone would train it to its end.
    """
    study = task.study

    def space(trial: Any) -> None:
        task.ask(trial)

    searcher = OptunaSearch(
        space,
        metric=study.metric,
        mode=study.mode,
        points_to_evaluate=[dict(point) for point in points],
        seed=seed,
    )
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric=study.metric,
        mode=study.mode,
        max_t=study.max_epochs,
        grace_period=study.grace_epochs,
        reduction_factor=_REDUCTION,
    )

    def begin(trial: Trial) -> Iterator[dict[str, Any]]:
        spec = task.spec(task.schedule(trial.config))
        visits = walk(spec.schedule, task.facts, Shelf(), task.train)
        told = results(Assignment(trial.trial_id, spec, task.facts), visits)
        return dropwhile(lambda result: result["segment"] <= len(trunk), told)

    loop = Loop(
        searcher,
        scheduler,
        begin,
        num_slots=num_slots,
        num_trials=num_trials,
        callbacks=callbacks,
    )
    loop.run()
    return loop
