"""A whole search driver over made-up trials: what each of its calls costs as the search grows."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from ray.tune import Callback
from rich.console import Console

from benchmarks._loop import Loop, Trial, Workshop
from benchmarks._memory import peak_mb
from benchmarks._synthetic import FACTS, STUDY, Uncached, make
from thaw.asking import OptunaSource
from thaw.callbacks import Bookkeeper
from thaw.proposer import Proposer
from thaw.results import Table
from thaw.scheduling import make_scheduler
from thaw.searcher import ScheduleSearcher
from thaw.trials import Proposal
from thaw.view import View
from trainables.slot import TRIAL, Assignment, results
from trainables.spec import TrialSpec
from training.config import Config
from training.schedule import Schedule, Stage
from training.store import Store
from training.walk import walk

_SLOTS = 16
_WINDOW = 100
"""How many of the latest calls a median is over."""
_SUGGESTS = ("suggest_float", "suggest_int", "suggest_categorical")
_MB = 2**20


class Stopwatch:
    """Seconds of each call by name; what Optuna takes within a decision is held apart."""

    def __init__(self) -> None:
        self.spent_s: dict[str, list[float]] = defaultdict(list)
        self._optuna_s = 0.0

    def time(self, owner: Any, method: str, name: str) -> None:
        """Let every call of a method of `owner` be noted under `name`."""
        call = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began_s = time.perf_counter()
            returned = call(*args, **kwargs)
            self.spent_s[name].append(time.perf_counter() - began_s)
            return returned

        setattr(owner, method, timed)

    def time_optuna(self, owner: Any, method: str) -> None:
        """Let the seconds of a method of `owner` count as Optuna's."""
        call = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began_s = time.perf_counter()
            returned = call(*args, **kwargs)
            self._optuna_s += time.perf_counter() - began_s
            return returned

        setattr(owner, method, timed)

    def time_decisions(self, searcher: ScheduleSearcher) -> None:
        """Let every suggestion that starts a trial be noted, without what Optuna takes."""
        call = searcher.suggest

        def timed(trial_id: str) -> Any:
            self._optuna_s = 0.0
            began_s = time.perf_counter()
            returned = call(trial_id)
            whole_s = time.perf_counter() - began_s
            if isinstance(returned, dict):
                self.spent_s["decision"].append(whole_s - self._optuna_s)
                self.spent_s["optuna"].append(self._optuna_s)
            return returned

        setattr(searcher, "suggest", timed)  # noqa: B010

    def medians_ms(self) -> dict[str, float]:
        """Return name -> median of the latest calls in ms, and the slowest tenth of decisions."""
        latest = {name: sorted(spent[-_WINDOW:]) for name, spent in self.spent_s.items()}
        slow = latest["decision"][len(latest["decision"]) * 9 // 10]
        return {f"{name}_ms": 1000 * median(spent) for name, spent in latest.items()} | {
            "decision_p90_ms": 1000 * slow
        }


class Checkpoints(Callback):
    """Notes what everything costs when so many trials have ended."""

    def __init__(self, sizes: Sequence[int], watch: Stopwatch, folder: Path) -> None:
        self._sizes = sizes
        self._watch = watch
        self._folder = folder
        self._num_ended = 0
        self._keys: list[str] = []
        self.found: dict[int, dict[str, float]] = {}
        """Number of trials -> figures."""

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Remember the key."""
        if not result["reused"]:
            self._keys.append(result["key"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Measure where the number of trials is one of those wanted."""
        self._num_ended += 1
        if self._num_ended in self._sizes:
            self.found[self._num_ended] = {
                **self._watch.medians_ms(),
                **look_up_ms(self._folder, self._keys),
                "records": len(self._keys),
                "peak_mb": peak_mb(),
            }


def look_up_ms(folder: Path, keys: Sequence[str]) -> dict[str, float]:
    """Return median times in ms of finding records, and of finding that there is none."""
    store, draw, spent = Store(str(folder)), Random(0), defaultdict[str, list[float]](list)
    for key in draw.sample(keys, min(_WINDOW, len(keys))):
        for name, wanted in (("found", key), ("absent", key[::-1])):
            began_s = time.perf_counter()
            store.record(wanted)
            spent[name].append(time.perf_counter() - began_s)
    return {f"look_up_{name}_ms": 1000 * median(times) for name, times in spent.items()}


def grow(
    sizes: Sequence[int], sampler: Callable[[int], BaseSampler], folder: Path
) -> dict[int, dict[str, float]]:
    """Run a search of `max(sizes)` trials; return the figures at each of `sizes`."""
    watch = Stopwatch()
    study = optuna.create_study(direction="maximize")
    watch.time_optuna(study, "ask")
    proposer = Proposer(STUDY, Config(), {}, any_spec(), FACTS)

    def propose(trial: Any) -> Proposal:
        for method in _SUGGESTS:
            watch.time_optuna(trial, method)
        return proposer(trial)

    source = OptunaSource(study, propose, num_trials=max(sizes), sampler=sampler)
    store = Store(str(folder / "store"))
    searcher = ScheduleSearcher(
        source, store=store, metric=STUDY.metric, mode=STUDY.mode, num_slots=_SLOTS
    )
    watch.time_decisions(searcher)
    watch.time(searcher, "on_trial_result", "searcher_per_result")
    watch.time(searcher, "on_trial_complete", "searcher_per_trial")
    scheduler = make_scheduler(STUDY, "asha", "epochs")
    scheduler.set_search_properties(STUDY.metric, STUDY.mode)
    watch.time(scheduler, "on_trial_result", "asha_per_result")
    shop = Workshop(Uncached(str(folder / "store")), make)
    checkpoints = Checkpoints(sizes, watch, folder / "store")
    Loop(
        searcher,
        scheduler,
        lambda trial: _walk(trial, shop),
        num_slots=_SLOTS,
        publish=shop.publish,
        callbacks=[_bookkeeper(watch, max(sizes), folder), checkpoints],
    ).run()
    return checkpoints.found


def any_spec() -> TrialSpec:
    """Return some trial of the study."""
    stages = (Stage(name="any", epochs=1, lr=1.0),)
    return TrialSpec(system=STUDY.system, schedule=Schedule(stages=stages))


def _walk(trial: Trial, shop: Workshop) -> Iterator[dict[str, Any]]:
    mine: Assignment = trial.config[TRIAL]
    return results(mine, walk(mine.spec.schedule, FACTS, shop.store, shop.train))


def _bookkeeper(watch: Stopwatch, num_trials: int, folder: Path) -> Bookkeeper:
    table = Table(STUDY.metric, STUDY.mode)
    view = View(Console(quiet=True), table, num_trials=num_trials, title=STUDY.name)
    keeper = Bookkeeper(table, view, folder, "ASHA")
    for event in ("start", "result", "complete"):
        watch.time(keeper, f"on_trial_{event}", f"books_per_{event}")
    return keeper
