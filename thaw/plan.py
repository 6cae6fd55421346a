"""The plan before the bill: what a search would train, and what sharing saves; trains nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import optuna
import torch

from search_spaces.dimensions import Ask, Given, Real
from search_spaces.grid import grid
from search_spaces.study import Study, config_of
from search_spaces.study import study as find_study
from thaw.overrides import split_overrides
from thaw.preparing import prepare
from trainables.spec import TrialSpec
from trainables.systems import system
from training.course import fold
from training.errors import UserError, unknown
from training.schedule import Facts, Schedule
from training.settings import Place
from training.store import Store
from training.walk import UNKNOWN, foresee

_SECONDS_PER_HOUR = 3600
DEFAULT_TRIALS = 24


@dataclass(frozen=True)
class Trial:
    """One planned trial."""

    values: dict[str, Any]
    schedule: Schedule
    keys: tuple[str, ...]
    models: tuple[str, ...]
    """Which model each segment trains."""


@dataclass(frozen=True)
class Hours:
    """Device-hours of a segment by the model that it trains."""

    by_model: Mapping[str, float] = field(default_factory=dict)
    others: float | None = None
    """Of a model that is not named; None where nothing tells."""

    def of(self, models: Iterable[str]) -> float | None:
        """Return the sum over segments; None where one of them is not known."""
        found = [self.by_model.get(model, self.others) for model in models]
        return None if None in found else sum(hours for hours in found if hours is not None)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Segments and hours of a list of trials."""

    study: str
    trials: int
    segments_naive: int
    """Every trial from nothing."""
    segments_careful: int
    """Every trial from the checkpoint that ends what all of them have in common."""
    segments_shared: int
    """Distinct segments: what thaw trains, and the least that anyone can."""
    segments_stored: int
    """Of the distinct ones, those that the store has already."""
    merge_rate: float
    """Naive over shared, as in the stage trees of Hippo (VLDB 2022)."""
    hours_plain: float | None
    """Device-hours of `segments_naive`; None where nothing tells how long a segment takes."""
    hours_shared: float | None
    """Device-hours of the distinct segments that are not in the store."""
    sharing_by_dimension: dict[str, float]
    """Dimension -> merge rate if all trials agreed on it: how much sharing it breaks."""
    strategies: tuple[dict[str, Any], ...]
    """The study's own starting points: name, stages, epochs and hours, in all and by model."""
    costs: tuple[dict[str, Any], ...] = ()
    """The same of strategies whose costs the study's source compares."""

    def json(self) -> str:
        """Return the plan as one JSON object."""
        return json.dumps(asdict(self))


def plan_search(
    name: str,
    pairs: Sequence[str],
    data: str | None,
    trials: int | None,
    seed: int,
    store_url: str,
    hours_per_epoch: str | None,
) -> Plan:
    """Return the plan of the search that the same options of `thaw search` would run."""
    found = find_study(name)
    task, pinned = split_overrides(found.system, found.dimensions, pairs, data)
    config = config_of(found, task)
    found = found.sized(config)
    points = draw(found, config, pinned, trials, seed)
    schedule = found.space(Ask(Given(points[0]), pinned), config, seed)
    spec = TrialSpec(system=found.system, task=task, schedule=schedule)
    prepare(system(found.system), config)
    facts = spec.facts(Place(device="cuda" if torch.cuda.is_available() else "cpu"))
    return make_plan(
        found,
        config,
        pinned,
        points,
        facts,
        seed=seed,
        store=Store(store_url),
        hours=_given_hours(hours_per_epoch, facts, found.hours_per_epoch(config)),
    )


def _given_hours(text: str | None, facts: Facts, known: Mapping[str, float]) -> Hours | None:
    """Read `0.2`, or `dsr=0.1,edgeface=0.09`; without a text what the study knows, or None."""
    if text is None:
        return Hours(known) if known else None
    models = dict(facts.layers)
    if "=" not in text:
        return Hours(others=_number(text))
    pairs = dict(part.partition("=")[::2] for part in text.split(","))
    for model in pairs:
        if model not in models:
            raise unknown("model in --hours-per-epoch:", model, models)
    return Hours({model: _number(value) for model, value in pairs.items()})


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UserError(
            f"--hours-per-epoch {text!r}: must be a number of at least 0, or model=number pairs"
        )
    return value


def draw(
    study: Study, config: Any, pinned: Mapping[str, Any], trials: int | None, seed: int
) -> list[dict[str, Any]]:
    """Return the values of the trials: the whole grid, or the study's points and random ones."""
    countable = not any(isinstance(d, Real) and d.name not in pinned for d in study.dimensions)
    if trials is None and countable:
        return list(grid(study, config, pinned))
    sampler = optuna.samplers.RandomSampler(seed=seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    drawn = optuna.create_study(sampler=sampler)
    for point in study.points:
        drawn.enqueue_trial({name: v for name, v in point.items() if name not in pinned})
    found = []
    for _ in range(trials or DEFAULT_TRIALS):
        ask = Ask(drawn.ask(), pinned)
        study.space(ask, config, seed)
        found.append(ask.values)
    return found


def make_plan(
    study: Study,
    config: Any,
    pinned: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    facts: Facts,
    *,
    seed: int,
    store: Store,
    hours: Hours | None,
) -> Plan:
    """Count the segments of `points` as trials, without training any."""
    known: dict[str, Trial] = {}

    def build(values: Mapping[str, Any]) -> Trial:
        ask = Ask(Given(dict(values)), pinned)
        schedule = study.space(ask, config, seed)
        if repr(ask.values) not in known:
            known[repr(ask.values)] = _trial(ask.values, schedule, facts)
        return known[repr(ask.values)]

    trials = [build(values) for values in points]
    distinct = {key for trial in trials for key in trial.keys}
    missing = {key for key in distinct if store.record(key) is None}
    naive = sum(len(trial.keys) for trial in trials)
    common = _common(trials)
    models = {key: m for trial in trials for key, m in zip(trial.keys, trial.models, strict=True)}
    hours = hours or _recorded_hours(store, models)
    plain = [hours.of(trial.models) for trial in trials]
    costs = study.strategies(config, seed=seed) if study.strategies else {}
    return Plan(
        study=study.name,
        trials=len(trials),
        segments_naive=naive,
        segments_careful=common + naive - common * len(trials),
        segments_shared=len(distinct),
        segments_stored=len(distinct) - len(missing),
        merge_rate=naive / len(distinct),
        hours_plain=None if None in plain else sum(value or 0.0 for value in plain),
        hours_shared=hours.of(models[key] for key in missing),
        sharing_by_dimension=_sharing(study, trials, build),
        strategies=tuple(
            _strategy(f"first point {number}", build(point), hours)
            for number, point in enumerate(study.points, 1)
        ),
        costs=tuple(
            _strategy(name, _trial({}, schedule, facts), hours) for name, schedule in costs.items()
        ),
    )


def _trial(values: dict[str, Any], schedule: Schedule, facts: Facts) -> Trial:
    schedule.check(facts)
    keys = foresee(schedule, facts)
    visited = fold(schedule.stages, [UNKNOWN] * len(keys)).visited
    return Trial(values, schedule, keys, tuple(schedule.stages[n].model for n in visited))


def _common(trials: Sequence[Trial]) -> int:
    """Return the number of segments with which all trials begin."""
    levels = zip(*(trial.keys for trial in trials), strict=False)
    count = 0
    for level in levels:
        if len(set(level)) > 1:
            break
        count += 1
    return count


def _sharing(
    study: Study,
    trials: Sequence[Trial],
    build: Callable[[Mapping[str, Any]], Trial],
) -> dict[str, float]:
    """Return the merge rate that there were if all trials agreed on a dimension."""
    rates = {}
    for name in (dimension.name for dimension in study.dimensions):
        first = next((trial.values[name] for trial in trials if name in trial.values), None)
        agreeing = [
            build({**trial.values, name: first}).keys if name in trial.values else trial.keys
            for trial in trials
        ]
        distinct = {key for keys in agreeing for key in keys}
        rates[name] = sum(map(len, agreeing)) / len(distinct)
    return rates


def _strategy(name: str, trial: Trial, hours: Hours) -> dict[str, Any]:
    by_model = {
        model: {
            "epochs": trial.models.count(model),
            "hours": hours.of([model] * trial.models.count(model)),
        }
        for model in sorted(set(trial.models))
    }
    return {
        "name": name,
        "stages": [{"name": s.name, "epochs": s.epochs} for s in trial.schedule.stages],
        "models": by_model,
        "hours": hours.of(trial.models),
    }


def _recorded_hours(store: Store, models: Mapping[str, str]) -> Hours:
    """Return the mean hours of each model's segments in the store; `models` is key -> model."""
    found: dict[str, list[float]] = {}
    for key, record in store.records(models).items():
        found.setdefault(models[key], []).append(record.device_s / _SECONDS_PER_HOUR)
    return Hours({model: fmean(hours) for model, hours in found.items()})
