"""Best validation metric against segments trained: thaw, and plain Ray Tune with OptunaSearch.

    python -m benchmarks.quality_at_budget [--tiny] [--study NAME] [--seeds 10] [--store DIR]
                                           [--scheduler asha-promote] [--record]

Plain is what a careful user runs: Ray's `OptunaSearch` (TPE as it comes) with Ray's
`ASHAScheduler`, 64 trials, each from the checkpoint that ends what all trials of the study have in
common. Thaw is `ScheduleSearcher` over its own TPE with its promoting ASHA, rungs at shares of a
trial's own schedule (`--scheduler asha`: with the same ASHA as plain, rungs at the same epochs);
grace period of the study and reduction factor 3 on both sides. Both try the study's own points
first and run two trials at a time; the common trunk is counted once on both sides. Ten searches a
side differ in the sampler's seed. Since the question is what a budget buys, thaw asks for trials
until it has trained as many segments as plain needed for its 64 (or has run four times as many
trials).

Everything that decides is real but Tune's processes (`_loop.py`). Segments are those of real
training on the digits: `unfreeze_timing` from a recording (`_recording.py`; about 0.5 s for each
segment that is not in it), the grid of `lr_sequence` trained here and now.

- `segments_to_match`: segments at which thaw's best first reached plain's final best, over all
  segments of plain's search; the median over seeds. Where it never did, it counts as 1.
- `segments_to_match_first`: the same over the segments at which plain itself first had that best.
- `p_fewer_segments`: one-sided Wilcoxon signed-rank test that the first ratio is below 1;
  `p_better_same_budget`: one-sided Mann-Whitney test that thaw's best after as many segments as
  plain's is better; `p_better_half_budget`: the same with thaw at half of plain's segments.
- `best_*`: medians with the range from the lower to the upper quartile (`_q1`, `_q3`).
  `best_thaw_same_trials` is thaw's after 64 trials, for `segments_thaw_same_trials`.

Where several studies run, a figure without a study's name is the worst of them.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from ray.tune import Callback
from rich.console import Console
from rich.table import Table
from scipy.stats import mannwhitneyu, wilcoxon

from benchmarks._halving import needed
from benchmarks._recording import Recording
from benchmarks._report import report
from benchmarks._sides import run_plain, run_thaw
from benchmarks._task import Task
from benchmarks.shared_prefixes import fixed_list
from search_spaces.study import study as find_study

_MOONS = Path(__file__).parent.parent / "docs" / "own" / "moons_study.py"
_STUDIES = ("unfreeze_timing", "lr_sequence")
_RECORDED = ("unfreeze_timing",)
_TRIALS = 64
_SLOTS = 2
_MOST_TRIALS = 4
_RUNG_BY = {"asha-promote": "progress", "asha": "epochs"}
_TARGETS = {"segments_to_match": ("<=", 0.5)}


class Curve(Callback):
    """The best value so far against the segments trained so far."""

    def __init__(self, metric: str, mode: str, trained_before: int) -> None:
        """Begin with `trained_before` segments that are there when the first trial starts."""
        self._metric = metric
        self._sign = 1 if mode == "max" else -1
        self.segments = [trained_before]
        self.bests = [-math.inf]
        """Best value once so many segments are trained; larger is better."""
        self.num_trials = 0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Count the trial."""
        self.num_trials += 1

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take in a segment."""
        value = self._sign * result[self._metric]
        self.segments.append(self.segments[-1] + (not result["reused"]))
        self.bests.append(max(self.bests[-1], value) if math.isfinite(value) else self.bests[-1])

    def best_after(self, segments: float) -> float:
        """Return the best value once `segments` were trained."""
        return max(b for s, b in zip(self.segments, self.bests, strict=True) if s <= segments)

    def segments_for(self, value: float) -> int | None:
        """Return the segments at which `value` was reached, or None."""
        reached = (s for s, b in zip(self.segments, self.bests, strict=True) if b >= value)
        return next(reached, None)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One search on each side."""

    plain: Curve
    thaw: Curve
    same_trials: Curve
    """Thaw with the same number of trials instead of the same number of segments."""


def compare(task: Task, num_trials: int, seeds: int, scheduler: str) -> list[Pair]:
    """Search on both sides with each of so many seeds, thaw with one of `_RUNG_BY`."""
    study = task.study
    keys = [task.keys(values) for values in fixed_list(study, num_trials)]
    trunk = keys[0][: needed(keys).common]
    run: dict[str, Any] = {"points": study.points, "num_slots": _SLOTS}
    ours = {**run, "scheduler_name": scheduler, "rung_by": _RUNG_BY[scheduler]}
    pairs = []
    for seed in range(seeds):
        plain = Curve(study.metric, study.mode, len(trunk))
        run_plain(task, trunk=trunk, num_trials=num_trials, seed=seed, callbacks=[plain], **run)
        same = Curve(study.metric, study.mode, 0)
        run_thaw(task, num_trials=num_trials, seed=seed, callbacks=[same], **ours)
        thaw = Curve(study.metric, study.mode, 0)
        run_thaw(
            task,
            num_trials=_MOST_TRIALS * num_trials,
            most_trained=plain.segments[-1],
            seed=seed,
            callbacks=[thaw],
            **ours,
        )
        task.tidy()
        pairs.append(Pair(plain=plain, thaw=thaw, same_trials=same))
    return pairs


def figures_of(pairs: Sequence[Pair], sign: int) -> dict[str, float]:
    """Return the figures of a study; `sign` is -1 where smaller values are better."""
    goals = [pair.plain.bests[-1] for pair in pairs]
    needs = [pair.thaw.segments_for(goal) for pair, goal in zip(pairs, goals, strict=True)]
    alls = [pair.plain.segments[-1] for pair in pairs]
    firsts = [pair.plain.segments_for(goal) for pair, goal in zip(pairs, goals, strict=True)]
    ratios = [need / most if need else 1.0 for need, most in zip(needs, alls, strict=True)]
    harder = [
        need / first if need and first else most / (first or most)
        for need, first, most in zip(needs, firsts, alls, strict=True)
    ]
    halves = [pair.thaw.best_after(most / 2) for pair, most in zip(pairs, alls, strict=True)]
    fulls = [pair.thaw.bests[-1] for pair in pairs]
    return {
        "segments_to_match": float(np.median(ratios)),
        **_quartiles("segments_to_match", ratios),
        "segments_to_match_first": float(np.median(harder)),
        "seeds_matched": sum(need is not None for need in needs) / len(needs),
        "p_fewer_segments": _p_below_one(ratios),
        "p_better_same_budget": _p_greater(fulls, goals),
        "p_better_half_budget": _p_greater(halves, goals),
        **_spread("best_plain", [sign * value for value in goals]),
        **_spread("best_thaw_half_budget", [sign * value for value in halves]),
        **_spread("best_thaw_same_budget", [sign * value for value in fulls]),
        **_spread("best_thaw_same_trials", [sign * pair.same_trials.bests[-1] for pair in pairs]),
        "segments_plain": float(np.median(alls)),
        "segments_thaw_same_trials": float(np.median([p.same_trials.segments[-1] for p in pairs])),
        "trials_plain": float(np.median([pair.plain.num_trials for pair in pairs])),
        "trials_thaw_same_budget": float(np.median([pair.thaw.num_trials for pair in pairs])),
    }


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    return {name: float(np.median(values)), **_quartiles(name, values)}


def _quartiles(name: str, values: Sequence[float]) -> dict[str, float]:
    low, high = np.quantile(values, (0.25, 0.75))
    return {f"{name}_q1": float(low), f"{name}_q3": float(high)}


def _p_below_one(ratios: Sequence[float]) -> float:
    if all(ratio == 1 for ratio in ratios):
        return 1.0
    return float(wilcoxon(np.asarray(ratios) - 1, alternative="less").pvalue)


def _p_greater(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return float(mannwhitneyu(ours, theirs, alternative="greater").pvalue)


def show(name: str, pairs: Sequence[Pair], sign: int) -> None:
    """Print the medians of both sides along plain's budget."""
    table = Table("share of plain's segments", "plain", "thaw", title=name, title_justify="left")
    for percent in (10, 20, 30, 40, 50, 60, 80, 100):
        row = []
        for side in ("plain", "thaw"):
            curves: list[tuple[Curve, float]] = [
                (getattr(pair, side), percent / 100 * pair.plain.segments[-1]) for pair in pairs
            ]
            row.append(f"{sign * np.median([c.best_after(most) for c, most in curves]):.4f}")
        table.add_row(f"{percent} %", *row)
    Console().print(table)


def merge(found: Mapping[str, dict[str, float]]) -> dict[str, float]:
    """Return the figures of all studies by their names, and the worst of what has a target."""
    if len(found) == 1:
        return next(iter(found.values()))
    worst = {name: max(figures[name] for figures in found.values()) for name in _TARGETS}
    return worst | {
        f"{study}_{name}": value
        for study, figures in found.items()
        for name, value in figures.items()
    }


def main() -> None:
    """Compare on each study and report."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.quality_at_budget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="3 seeds of 8 trials on two moons")
    parser.add_argument("--study", choices=_STUDIES, help="compare on this study; default: on all")
    parser.add_argument("--seeds", type=int, default=10, help="searches on each side")
    parser.add_argument(
        "--scheduler", choices=list(_RUNG_BY), default="asha-promote", help="of thaw's side"
    )
    parser.add_argument("--record", action="store_true", help="train anew, and write the recording")
    parser.add_argument("--store", help="keep in this folder what is trained; default: nowhere")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = [name for name in _STUDIES if arguments.study in (None, name)]
    num_trials, seeds = (8, 3) if arguments.tiny else (_TRIALS, arguments.seeds)
    found = {}
    for name in [str(_MOONS)] if arguments.tiny else names:
        study = find_study(name)
        recording = Recording(study.name)
        with tempfile.TemporaryDirectory(prefix="thaw-bench-") as folder:
            task = Task(study, arguments.store or folder, None if arguments.record else recording)
            pairs = compare(task, num_trials, seeds, arguments.scheduler)
        if arguments.record and name in _RECORDED:
            recording.write(task.outcomes)
        sign = 1 if study.mode == "max" else -1
        show(f"{study.name}: {task.num_trained} segments were trained just now", pairs, sign)
        found[study.name] = figures_of(pairs, sign)
    report("quality_at_budget", merge(found), {} if arguments.tiny else _TARGETS)


if __name__ == "__main__":
    main()
