"""The best schedule of a search against each known recipe, over fresh seeds.

    python -m benchmarks.recipes [--tiny] [--study from_recipes] [--trials 32] [--seeds 10]
                                 [--search-seed 0] [--store DIR] [--processes 2]

The search is `thaw search` in this process (`_sides.py`): TPE, ASHA, two trials at a time, the
study's own points first, one seed of training. By default it starts from the recipes themselves
(`from_recipes`); `--study unfreeze_timing` knows nothing of them. Of the trials that came to their
end, the one with the best last value is chosen. Then it and each recipe are trained with seeds that
the search never saw, on the same data; all that is random (weights, pretraining, order) differs
from seed to seed and is the same for all schedules of one seed.

What is compared is the validation accuracy after the last epoch, so that nobody profits from
picking an epoch; `best` is the best over epochs, as `thaw confirm` has it. Lengths are in the
table: recipes get 16 epochs on the target task, the most that a trial of the search may have, and
the one whose phases end by early stopping its own 30. The test is `thaw confirm`'s: paired t test
over seeds that the searched schedule is better, one-sided, Holm-corrected for the number of
recipes. "at" is the first epoch at which the mean of the searched schedule is as good as the
recipe's at its end. "better in" names the respects in which the searched schedule is ahead:
accuracy (by the test), epochs (it is shorter, or gets to the recipe's accuracy sooner than the
recipe ends), seconds (of a whole run; less by a tenth), spread (standard deviation over seeds, less
by a fifth).

- `not_worse`: share of recipes against which the 95 % interval of the difference does not lie
  below 0; `better`: share against which it is better by the test.
- `mean_searched`, `mean_best_recipe`, `least_difference`, `largest_p`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import fmean, stdev
from typing import Any

import optuna
from ray.tune import Callback
from rich.console import Console
from rich.table import Table

from benchmarks._recording import Recording
from benchmarks._report import report
from benchmarks._sides import run_thaw
from benchmarks._task import Task
from search_spaces.study import study as find_study
from thaw.confirmation import Comparison, compare_with
from trainables.recipes import RECIPES, recipe_schedule
from trainables.slot import TRIAL
from trainables.spec import TrialSpec
from training.schedule import Schedule
from training.settings import Place
from training.store import Store
from training.trainer import Trainer
from training.walk import walk

_SEARCHED = "searched"
_EPOCHS = 16
_OWN_LENGTH = ("finetuning_scheduler",)
_SLOTS = 2
_METRIC = "val_accuracy"
_TINY = ("fastai", "scratch")
_TARGETS = {"not_worse": (">=", 1.0)}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One schedule trained with one seed."""

    curve: tuple[float, ...]
    """Validation accuracy after each epoch on the target task."""
    seconds: float
    """Of training and evaluation on the target task."""

    @property
    def last(self) -> float:
        """Return the accuracy at the end."""
        return self.curve[-1]


class Ended(Callback):
    """The trials that came to their end, with their last values."""

    def __init__(self, metric: str) -> None:
        """Note values of `metric`."""
        self._metric = metric
        self.values: dict[str, float] = {}
        self.segments = 0

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Count what was trained, and note a trial that is through."""
        self.segments += not result["reused"]
        if result["ended"] == "finished" and math.isfinite(result[self._metric]):
            self.values[trial.trial_id] = result[self._metric]


def search(name: str, *, num_trials: int, seed: int, folder: str) -> tuple[TrialSpec, Ended]:
    """Search a study; return the best trial that came to its end, and what the search did."""
    study = find_study(name)
    task = Task(study, folder, Recording(study.name))
    ended = Ended(study.metric)
    loop = run_thaw(
        task,
        study.points,
        num_trials=num_trials,
        num_slots=_SLOTS,
        seed=seed,
        callbacks=[ended],
    )
    best = max(ended.values, key=lambda trial: ended.values[trial])
    config = next(trial.config for trial in loop.trials if trial.trial_id == best)
    return config[TRIAL].spec, ended


def train_all(specs: Mapping[str, TrialSpec], seed: int, folder: str | None) -> dict[str, Outcome]:
    """Train each schedule with `seed`; they share what they have in common, such as pretraining."""
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as nowhere:
        store = Store(folder or nowhere)
        return {name: _train(spec, seed, store) for name, spec in specs.items()}


def _train(spec: TrialSpec, seed: int, store: Store) -> Outcome:
    schedule = spec.schedule.model_copy(update={"seed": seed})
    spec = spec.with_schedule(schedule)
    facts = spec.facts(Place())
    trainer = Trainer(spec.build_task(), root=facts.root, seed=seed, store=store, place=facts.place)
    records = [visit.record for visit in walk(schedule, facts, store, trainer.train)]
    mine = [record for record in records if record.data == schedule.objective]
    return Outcome(
        curve=tuple(record.metrics[_METRIC] for record in mine),
        seconds=sum(record.train_s + record.eval_s for record in mine),
    )


def recipes_for(spec: TrialSpec, names: Sequence[str]) -> dict[str, TrialSpec]:
    """Return the recipes by name, for the task of `spec`."""
    return {
        name: spec.model_copy(
            update={
                "schedule": recipe_schedule(
                    name,
                    spec.config(),  # type: ignore[arg-type]
                    seed=0,
                    epochs=None if name in _OWN_LENGTH else _EPOCHS,
                )
            }
        )
        for name in names
    }


def shortened(schedule: Schedule) -> Schedule:
    """Return a schedule with an epoch for each stage, for a quick run."""
    stages = (stage.model_copy(update={"epochs": 1}) for stage in schedule.stages)
    return schedule.model_copy(update={"stages": tuple(stages)})


def show(
    outcomes: Mapping[str, Sequence[Outcome]],
    tests: Mapping[str, Comparison],
    specs: Mapping[str, TrialSpec],
) -> None:
    """Print a row for each schedule."""
    table = Table(
        "schedule",
        "epochs",
        "s",
        "mean",
        "sd",
        "best",
        "searched is better by",
        "95 % interval",
        "p",
        "at",
        "better in",
        title="validation accuracy, %",
        title_justify="left",
    )
    ours = outcomes[_SEARCHED]
    for name, found in outcomes.items():
        row = [
            name,
            f"{fmean(len(o.curve) for o in found):.3g}",
            f"{fmean(o.seconds for o in found):.1f}",
            _percent(fmean(o.last for o in found)),
            _percent(_sd(found)),
            _percent(fmean(max(o.curve) for o in found)),
        ]
        if name in tests:
            test = tests[name]
            at = epoch_at(ours, fmean(o.last for o in found))
            row += [
                _percent(test.difference),
                f"{_percent(test.low)} .. {_percent(test.high)}",
                f"{test.p:.2g}",
                str(at or "-"),
                ", ".join(respects(ours, found, test)) or "-",
            ]
        table.add_row(*row)
    Console(width=170).print(table)
    stages = specs[_SEARCHED].schedule.stages
    print("searched: " + ", ".join(f"{s.name} {s.epochs} x {s.lr:.3g}" for s in stages))


def respects(ours: Sequence[Outcome], theirs: Sequence[Outcome], test: Comparison) -> list[str]:
    """Return in which respects the searched schedule is better than a recipe."""
    length = fmean(len(o.curve) for o in theirs)
    at = epoch_at(ours, fmean(o.last for o in theirs))
    found = {
        "accuracy": test.is_better,
        "epochs": at is not None and at < length,
        "seconds": fmean(o.seconds for o in ours) < 0.9 * fmean(o.seconds for o in theirs),
        "spread": _sd(ours) < 0.8 * _sd(theirs),
    }
    return [name for name, holds in found.items() if holds]


def epoch_at(found: Sequence[Outcome], goal: float) -> int | None:
    """Return the first epoch at which the mean over seeds is as good as `goal`, or None."""
    means = [fmean(values) for values in zip(*(o.curve for o in found), strict=False)]
    return next((epoch for epoch, mean in enumerate(means, 1) if mean >= goal), None)


def figures_of(
    outcomes: Mapping[str, Sequence[Outcome]], tests: Sequence[Comparison], ended: Ended
) -> dict[str, float]:
    """Return the figures of the benchmark."""
    means = {name: fmean(o.last for o in found) for name, found in outcomes.items()}
    recipes = {name: mean for name, mean in means.items() if name != _SEARCHED}
    return {
        "not_worse": fmean(not test.high < 0 for test in tests),
        "better": fmean(test.is_better for test in tests),
        "mean_searched": means[_SEARCHED],
        "mean_best_recipe": max(recipes.values()),
        "least_difference": min(test.difference for test in tests),
        "largest_p": max(test.p for test in tests),
        "seeds": len(outcomes[_SEARCHED]),
        "recipes": len(recipes),
        "search_segments": ended.segments,
        "search_trials_finished": len(ended.values),
    }


def _sd(found: Sequence[Outcome]) -> float:
    return stdev(o.last for o in found)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def main() -> None:
    """Search, train with fresh seeds, compare and report."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.recipes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="2 trials, 2 seeds, 2 short recipes")
    parser.add_argument("--study", default="from_recipes", help="what is searched")
    parser.add_argument("--trials", type=int, default=32, help="of the search")
    parser.add_argument("--seeds", type=int, default=10, help="fresh ones")
    parser.add_argument("--search-seed", type=int, default=0, help="of the sampler")
    parser.add_argument("--store", help="keep in this folder what is trained; default: nowhere")
    parser.add_argument("--processes", type=int, default=1, help="seeds trained at a time")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials, seeds = (2, 2) if arguments.tiny else (arguments.trials, arguments.seeds)
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as folder:
        best, ended = search(
            arguments.study,
            num_trials=trials,
            seed=arguments.search_seed,
            folder=arguments.store or folder,
        )
    specs = {_SEARCHED: best, **recipes_for(best, _TINY if arguments.tiny else list(RECIPES))}
    if arguments.tiny:
        specs = {
            name: spec.model_copy(update={"schedule": shortened(spec.schedule)})
            for name, spec in specs.items()
        }
    fresh = range(best.schedule.seed + 1, best.schedule.seed + 1 + seeds)
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        trained = list(pool.map(train_all, [specs] * seeds, fresh, [arguments.store] * seeds))
    outcomes = {name: [of_seed[name] for of_seed in trained] for name in specs}
    values = {
        name: {seed: o.last for seed, o in zip(fresh, found, strict=True)}
        for name, found in outcomes.items()
    }
    tests = compare_with(_SEARCHED, [name for name in specs if name != _SEARCHED], values, "max")
    show(outcomes, {test.other: test for test in tests}, specs)
    report("recipes", figures_of(outcomes, tests, ended), {} if arguments.tiny else _TARGETS)


if __name__ == "__main__":
    main()
