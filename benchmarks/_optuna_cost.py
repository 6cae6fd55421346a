"""What Optuna itself takes: samplers over studies of any size, and its SQLite storage."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event

from benchmarks._synthetic import DIMENSIONS, NUM_SEGMENTS
from thaw.sampling import make_sampler

_ASKS = 5
_TOO_SLOW_S = 2.0
"""A sampler that takes longer for one trial is not tried on more of them."""


def sampler_ms(name: str, sizes: Sequence[int]) -> dict[int, float]:
    """Return number of finished trials -> ms of asking for one more; what is too slow is left out.

    In memory; a sampler is made anew for each trial, as a search does.
    """
    found: dict[int, float] = {}
    for size in sizes:
        study = optuna.create_study(direction="maximize")
        study.add_trials(finished(size))
        spent = []
        for number in range(_ASKS):
            study.sampler = make_sampler(name, {}, 0, size + number)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                began_s = time.perf_counter()
                ask(study)
                spent.append(time.perf_counter() - began_s)
        found[size] = 1000 * median(spent)
        if median(spent) > _TOO_SLOW_S:
            break
    return found


def ask(study: optuna.Study) -> optuna.Trial:
    """Ask for one more trial and all of its values."""
    trial = study.ask()
    for dimension in DIMENSIONS:
        dimension.suggest(trial)
    return trial


def sqlite_ms(size: int, folder: Path) -> dict[str, float]:
    """Return ms of asking, of one report and of telling, on a SQLite study of `size` trials."""
    url = f"sqlite:///{folder / f'optuna-{size}.db'}"
    storage = RDBStorage(url)
    event.listen(
        storage.engine, "connect", lambda connection, _: connection.execute(_NO_WAITING)
    )  # while the study is filled; what is measured waits for the disk
    storage.engine.dispose()
    optuna.create_study(storage=storage, study_name="s", direction="maximize").add_trials(
        finished(size)
    )
    study = optuna.load_study(
        storage=url, study_name="s", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    spent: dict[str, list[float]] = {"ask": [], "report": [], "tell": []}
    for _ in range(_ASKS):
        times_s = [time.perf_counter()]
        trial = ask(study)
        times_s.append(time.perf_counter())
        for epoch in range(NUM_SEGMENTS):
            trial.report(0.5, epoch)
        times_s.append(time.perf_counter())
        study.tell(trial.number, 0.5)
        times_s.append(time.perf_counter())
        for name, begin_s, end_s in zip(spent, times_s, times_s[1:], strict=False):
            spent[name].append((end_s - begin_s) / (NUM_SEGMENTS if name == "report" else 1))
    return {f"sqlite_{name}_ms": 1000 * median(times) for name, times in spent.items()}


_NO_WAITING = "PRAGMA synchronous=OFF"


def finished(number: int) -> list[FrozenTrial]:
    """Return trials with random values."""
    probe = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions: dict[str, BaseDistribution] = ask(probe).distributions
    draw = Random(0)
    trials = []
    for _ in range(number):
        trial = ask(probe)
        trials.append(
            create_trial(
                state=TrialState.COMPLETE,
                value=draw.random(),
                params=trial.params,
                distributions=distributions,
            )
        )
    return trials
