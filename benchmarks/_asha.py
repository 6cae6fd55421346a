"""A fixed list of trials under asynchronous successive halving on both sides, in segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._halving import needed
from benchmarks._sides import run_plain, run_thaw
from benchmarks._task import Task
from search_spaces.study import Study

_SLOTS = 2


def under_asha(study: Study, points: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, float]:
    """Run exactly `points` on both sides, trained for real into `folder`; return the figures.

    `asha_bound_careful` is what `asha_ratio_careful` would be if thaw trained each distinct one of
    the segments that plain chose to train: the sharing there is in those trials.
    """
    task = Task(study, str(folder))
    keys = [task.keys(values) for values in points]
    trunk = keys[0][: needed(keys).common]
    plain = run_plain(task, points, trunk, num_trials=len(points), num_slots=_SLOTS, seed=0)
    thaw = run_thaw(task, points, num_trials=len(points), num_slots=_SLOTS, seed=0)
    for loop in (plain, thaw):
        if len(loop.trials) != len(points):
            raise SystemExit(f"shared_prefixes: ran {len(loop.trials)} of {len(points)} trials")
    careful = len(trunk) + len(plain.trained)
    naive = len(trunk) * len(points) + len(plain.trained)
    return {
        "asha_ratio_careful": careful / len(thaw.trained),
        "asha_ratio_naive": naive / len(thaw.trained),
        "asha_segments_careful": careful,
        "asha_segments_naive": naive,
        "asha_segments_thaw": len(thaw.trained),
        "asha_bound_careful": careful / (len(trunk) + len(set(plain.trained))),
        "asha_segments_twice": len(thaw.trained) - len(set(thaw.trained)),
        "asha_full_careful": needed(keys).careful,
    }
