"""A fixed list of trials under asynchronous successive halving on both sides, in segments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback

from benchmarks._halving import needed
from benchmarks._loop import Trial
from benchmarks._sides import run_plain, run_thaw
from benchmarks._task import Task
from search_spaces.study import Study
from trainables.slot import TRIAL

_SLOTS = 2


def under_asha(
    study: Study,
    points: Sequence[Mapping[str, Any]],
    folder: Path,
    fields: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Run exactly `points` on both sides, trained for real into `folder`; return the figures.

    `fields` configure the task.

    `asha_bound_careful` is what `asha_ratio_careful` would be if thaw trained each distinct one of
    the segments that plain chose to train: the sharing there is in those trials. `promote_*` is
    thaw with its promoting ASHA, whose rungs are at what the study compares trials by (its
    default), against the same careful user. `*_best_*` are the best values found.
    """
    task = Task(study, str(folder), task=fields)
    keys = [task.keys(values) for values in points]
    trunk = keys[0][: needed(keys).common]
    run: dict[str, Any] = {"num_trials": len(points), "num_slots": _SLOTS, "seed": 0}
    promoting: dict[str, Any] = {"scheduler_name": "asha-promote", "rung_by": study.rung_by}
    bests = {name: Best(study) for name in ("plain", "thaw", "promote")}
    plain = run_plain(task, points, trunk, callbacks=[bests["plain"]], **run)
    thaw = run_thaw(task, points, callbacks=[bests["thaw"]], **run)
    promote = run_thaw(task, points, callbacks=[bests["promote"]], **run, **promoting)
    careful = len(trunk) + len(plain.trained)
    naive = len(trunk) * len(points) + len(plain.trained)
    for num in (len(plain.trials), len(thaw.trials), len({_name(t) for t in promote.trials})):
        if num != len(points):
            raise SystemExit(f"shared_prefixes: ran {num} of {len(points)} trials")
    return {
        "asha_ratio_careful": careful / len(thaw.trained),
        "asha_bound_careful": careful / (len(trunk) + len(set(plain.trained))),
        "asha_ratio_naive": naive / len(thaw.trained),
        "asha_segments_careful": careful,
        "asha_segments_naive": naive,
        "asha_segments_thaw": len(thaw.trained),
        "asha_segments_twice": len(thaw.trained) - len(set(thaw.trained)),
        "asha_full_careful": needed(keys).careful,
        "promote_ratio_careful": careful / len(promote.trained),
        "promote_segments_thaw": len(promote.trained),
        **{f"asha_best_{name}": best.value for name, best in bests.items()},
    }


def _name(trial: Trial) -> str:
    name: str = trial.config[TRIAL].name
    return name


class Best(Callback):
    """The best value of a study's metric so far."""

    def __init__(self, study: Study) -> None:
        """Begin with none."""
        self._study = study
        self.value = math.nan

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take in a segment."""
        better = max if self._study.mode == "max" else min
        value = result[self._study.metric]
        if math.isfinite(value):
            self.value = value if math.isnan(self.value) else better(value, self.value)
