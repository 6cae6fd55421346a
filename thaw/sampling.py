"""Optuna: samplers by name, the study of a search, and how one goes on after an end.

A sampler is made anew for each trial, seeded by (seed, number of the trial). Samplers keep what
they learn in the study, so a search that was killed asks on exactly as one that was not.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from search_spaces.study import Study
from thaw.cmaes_sampler import PlainCmaEs
from training.errors import UserError, unknown
from training.hidden import hidden_in, whole
from training.randomness import derive

GRID = "grid"
"""All its points are in the study from the beginning, so that nothing is ever sampled."""
SAMPLERS: dict[str, type[BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "gp": optuna.samplers.GPSampler,
    "cmaes": PlainCmaEs,
    "nsga2": optuna.samplers.NSGAIISampler,
    GRID: optuna.samplers.RandomSampler,
}
SEVERAL_OBJECTIVES = ("tpe", "random", "gp", "nsga2", GRID)
_DEFAULTS: dict[str, dict[str, Any]] = {"tpe": {"multivariate": True, "constant_liar": True}}
_SEEDS = 2**32
_ENOUGH = 12
"""Trials after which a sampler with default options does more than draw at random."""
_UNUSABLE = (
    *(AssertionError, AttributeError, ImportError, IndexError, KeyError, RecursionError, TypeError),
    *(ValueError, SQLAlchemyError, StorageInternalError),
)
"""What a storage raises that cannot be reached, or holds what Optuna did not write."""
STORAGE = "THAW_STORAGE"
"""Environment variable with the URL of the storage, for one that has a password."""


def make_sampler(name: str, options: Mapping[str, Any], seed: int, number: int) -> BaseSampler:
    """Return the sampler for trial `number`; raise `UserError` for a name or option unknown."""
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    allowed = [p for p in inspect.signature(SAMPLERS[name]).parameters if p != "seed"]
    for option in options:
        if option not in allowed:
            raise unknown(f"option of sampler {name}:", option, allowed)
    arguments = {**_DEFAULTS.get(name, {}), **options, "seed": derive(seed, number, "ask") % _SEEDS}
    try:
        return SAMPLERS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise _refused(name, options, error) from None


def check_sampler(name: str, options: Mapping[str, Any]) -> None:
    """Raise `UserError` for a sampler that cannot be; with options it is asked once, as a trial."""
    sampler = make_sampler(name, options, 0, 0)
    if not options:
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, BaseDistribution] = {
        "x": FloatDistribution(0, 1),
        "y": FloatDistribution(0, 1),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asked = optuna.create_study(sampler=sampler)
        for n in range(_ENOUGH):
            point = {"x": n / _ENOUGH, "y": 1 - n / _ENOUGH}
            asked.add_trial(create_trial(params=point, distributions=distributions, value=n))
        try:
            asked.ask(distributions)
        except Exception as error:  # samplers look at few of their options, and then use them
            raise _refused(name, options, error) from None


def _refused(name: str, options: Mapping[str, Any], error: Exception) -> UserError:
    given = ", ".join(f"{option}={value}" for option, value in options.items())
    return UserError(f"sampler {name}{f' with {given}' if given else ''}: {error}")


def open_study(
    study: Study,
    pinned: Mapping[str, Any],
    storage: str,
    *,
    resume: bool,
    points: Sequence[Mapping[str, Any]] | None = None,
    pareto: bool = False,
) -> optuna.Study:
    """Create the Optuna study, or load the one of an earlier run.

    `points` are tried first; None takes the study's own. With `pareto` its second objective, to be
    minimized, is device-seconds.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    direction = up if study.mode == "max" else down
    storage = whole(storage, STORAGE, "--storage")
    try:
        if resume:
            found = optuna.load_study(study_name=study.name, storage=storage)
            found.get_trials(deepcopy=False)  # all that is stored is read here, or refused
            return found
        created = optuna.create_study(
            storage=storage,
            study_name=study.name,
            directions=[direction, down] if pareto else [direction],
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise UserError(f"--storage: has a study {study.name!r} already; use --resume") from None
    except _UNUSABLE as error:
        reason = hidden_in(str(error), storage)
        raise UserError(f"--storage: cannot be opened ({reason})") from None
    if pareto:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            created.set_metric_names([study.metric, "device_s"])
    for point in study.points if points is None else points:
        free = {name: value for name, value in point.items() if name not in pinned}
        created.enqueue_trial(free, skip_if_exists=True)
    return created


def begun(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were asked for, in their order."""
    return [t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]
