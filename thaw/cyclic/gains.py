"""What each cycle gained: of every trial, and over all of them, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.bootstrap import Draws, interval, resampled_means
from thaw.cyclic.options import Options
from thaw.cyclic.reading import FIRST, Span, Trial
from training.gates import Gates, Measured, judge

Floats = npt.NDArray[np.float64]
WHOLE = "in the end"
"""The step from bicubic interpolation and the recogniser before fine-tuning to a trial's end."""
FORK = "fallback"
"""How the name of a full retrain begins that takes the place of a catastrophic cycle."""
_FEWEST = 3


@dataclass(frozen=True)
class Step:
    """From one state of both models to the next, in one trial."""

    trial: Trial
    name: str
    """`first`, the cycle (cycle1, retrain2, fallback1), or `in the end`."""
    before: Span
    after: Span

    @property
    def from_bicubic(self) -> bool:
        """Tell whether the state before is bicubic interpolation."""
        return self.name in (FIRST, WHOLE)

    @property
    def gain(self) -> float:
        """Return the gain of accuracy as a fraction."""
        return accuracy(self.after) - accuracy(self.before, bicubic=self.from_bicubic)

    def by_identity(self) -> Floats:
        """Return (identities, 2): probes recognised more than before, and probes."""
        # Each of several processes counts every probe.
        before, after = (
            np.array(span.probes, float) / span.end.world_size for span in (self.before, self.after)
        )
        if before.shape != after.shape or not before.size:
            return np.empty((0, 2))
        was = before[:, 2 if self.from_bicubic else 1]
        return np.stack((after[:, 1] - was, after[:, 0]), axis=1)


def accuracy(span: Span, *, bicubic: bool = False) -> float:
    """Return the identification rate at the end of a span, in [0, 1]."""
    return span.end.metrics["val_bicubic_accuracy" if bicubic else "val_accuracy"]


def steps_of(trial: Trial) -> Iterator[Step]:
    """Yield what a trial came through: the first models against bicubic, its cycles, the whole."""
    plain = untouched(trial)
    ends: list[Span] = []
    for span in trial.rounds:
        if span.name == FIRST:
            if plain is not None:
                yield Step(trial, span.name, plain, span)
        elif ends:
            if span.name.startswith(FORK) and len(ends) > 1:
                ends.pop()  # it forked from the state before the cycle that it takes the place of
            yield Step(trial, span.name, ends[-1], span)
        ends.append(span)
    if plain is not None and len(ends) > 1:
        yield Step(trial, WHOLE, plain, ends[-1])


def untouched(trial: Trial) -> Span | None:
    """Return the last stage before the recogniser saw any face that DSR made; None without one."""
    found = None
    for span in trial.stages:
        if span.model == "edgeface" and span.end.data != "source":
            return found
        found = span
    return found


def cycles_table(trials: Sequence[Trial], options: Options) -> pd.DataFrame:
    """Return a row for each whole cycle of each trial, with the verdict of the gates on it."""
    gates, rows = Gates(measure=options.measure), []
    for trial in trials:
        measured: list[Measured] = []
        for span in trial.rounds[:1]:
            measured = [Measured.of(span.end.metrics)]
        for step in steps_of(trial):
            if step.from_bicubic:
                continue
            if step.name.startswith(FORK) and len(measured) > 1:
                measured.pop()
            measured.append(Measured.of(step.after.end.metrics))
            verdict = judge(measured, gates)
            low, high = identity_interval([step], options)
            change = {name: _moved(step, f"val_{name}") for name in ("psnr", "identity", "tar")}
            rows.append(
                {
                    "resolution": trial.config.resolution,
                    "trial": trial.name,
                    "seed": trial.spec.schedule.seed,
                    "strategy": trial.strategy,
                    "cycle": step.name,
                    "before": accuracy(step.before),
                    "after": accuracy(step.after),
                    "gain": step.gain,
                    "low": low,
                    "high": high,
                    **{f"{name}_before": before for name, (before, _) in change.items()},
                    **{f"{name}_after": after for name, (_, after) in change.items()},
                    "device_s": sum(step.after.device_s.values()),
                    "verdict": verdict.action,
                    "rule": verdict.rule,
                    "reason": verdict.reason,
                }
            )
    return pd.DataFrame(rows, columns=None if rows else ["resolution", "trial", "cycle", "gain"])


def gains_table(trials: Sequence[Trial], options: Options) -> pd.DataFrame:
    """Return a row for each resolution, strategy and cycle: the mean gain over distinct steps.

    Steps that two trials share count once. The interval over people is a bootstrap over held-out
    identities, the one over seeds Student's t.
    """
    found: dict[tuple[int, str], dict[tuple[str, str], Step]] = {}
    for trial in trials:
        for step in steps_of(trial):
            keys = (step.before.end.key, step.after.end.key)
            found.setdefault((trial.config.resolution, step.name), {})[keys] = step
    rows = []
    for (resolution, name), distinct in sorted(found.items(), key=lambda item: _order(*item[0])):
        steps = list(distinct.values())
        low, high = identity_interval(steps, options)
        seed_low, seed_high, num_seeds = seed_interval(steps, lambda step: step.gain, options)
        rows.append(
            {
                "resolution": resolution,
                "cycle": name,
                "num_trials": len(steps),
                "num_seeds": num_seeds,
                "before": _mean(accuracy(s.before, bicubic=s.from_bicubic) for s in steps),
                "after": _mean(accuracy(s.after) for s in steps),
                "gain": _mean(step.gain for step in steps),
                "low": low,
                "high": high,
                "seed_low": seed_low,
                "seed_high": seed_high,
                "best_gain": max(step.gain for step in steps),
            }
        )
    return pd.DataFrame(rows)


def identity_interval(steps: Sequence[Step], options: Options) -> tuple[float, float]:
    """Return the interval of the mean gain over held-out identities; NaN where none is known.

    Identities are drawn with all their probes, and in all steps at once.
    """
    counts = [step.by_identity() for step in steps]
    if not counts or not len(counts[0]) or any(c.shape != counts[0].shape for c in counts):
        return math.nan, math.nan
    values = np.mean(counts, axis=0)
    rng = np.random.default_rng(options.seed)
    draws = resampled_means(values, np.arange(len(values)), rng, options.draws)
    ratio = draws.means[:, :1] / draws.means[:, 1:]
    low, high = interval(Draws(ratio, draws.num_clusters), options.level / 100)[0]
    return float(low), float(high)


def seed_interval(
    steps: Sequence[Step], of: Callable[[Step], float], options: Options
) -> tuple[float, float, int]:
    """Return Student's t interval of a mean over seeds, and how many there are; none below 3."""
    by_seed: dict[int, list[float]] = {}
    for step in steps:
        by_seed.setdefault(step.trial.spec.schedule.seed, []).append(of(step))
    return *student([float(np.mean(values)) for values in by_seed.values()], options), len(by_seed)


def student(values: Sequence[float], options: Options) -> tuple[float, float]:
    """Return Student's t interval of the mean of `values`; NaN for fewer than three."""
    if len(values) < _FEWEST:
        return math.nan, math.nan
    middle, spread = float(np.mean(values)), float(stats.sem(values))
    half = spread * float(stats.t.ppf(0.5 + options.level / 200, len(values) - 1))
    return middle - half, middle + half


def _moved(step: Step, metric: str) -> tuple[float, float]:
    return step.before.end.metrics[metric], step.after.end.metrics[metric]


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def _order(resolution: int, name: str) -> tuple[int, int, str]:
    return resolution, {FIRST: 0, WHOLE: 2}.get(name, 1), name
