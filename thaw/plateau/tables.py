"""The tables of the report on a plateau: the stuck run, the options, the verdicts."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.logs import LogError, Logs
from analysis.metrics import direction
from analysis.selection import Curves, select
from thaw.plateau.options import Options
from training.monitor import Verdict, gain, level, stuck_since, verdicts

_CERTAIN = 2.0
_AS_GOOD = "as_good"
_PARAMETER = "param:"
_FILE = "param:schedule"  # which only says where the schedule is


@dataclass(frozen=True)
class Stuck:
    """The run before anything was tried."""

    steps: tuple[int, ...]
    values: tuple[float, ...]
    since: int
    """Step from which on its level gained nothing: see `training.monitor.stuck_since`."""

    @property
    def resume(self) -> int:
        """Return its last step."""
        return self.steps[-1]

    @property
    def gain(self) -> float:
        """Return the gain of the level since then."""
        return level(self.values) - level(self.values[: self.steps.index(self.since) + 1])


@dataclass(frozen=True)
class Tables:
    """What the report is made from."""

    stuck: Stuck
    options: pd.DataFrame
    """A row for each run, the largest gain first: run, epochs, level, gain, error, real (more than
    noise), reached (the step at which the target was), as_good (as the first, within noise),
    verdict (the last that calls for something), then its hyperparameters, with `_param` where one
    has the name of such a column."""
    verdicts: pd.DataFrame
    """run, step, verdict, because, advice."""
    drawn: pd.DataFrame
    """run, step, value, state, colour."""


def compute(logs: Logs, options: Options) -> Tables:
    """Return the tables.

    Raises `LogError` where the runs have no resume point in common, or the metric is not one that
    the monitor's rules can judge: in [0, 1], more is better.
    """
    known = sorted(map(str, logs.points["metric"].unique()))
    for name in (options.metric, options.loss):
        if name not in known:
            raise LogError(f"unknown metric {name!r}; found: {', '.join(known)}")
    points = logs.points
    if options.before is not None:
        points, last = _joined(points, options.before)
        options = replace(options, resume=last)
    curves = select(points, logs.runs.index, options.metric)
    _check_metric(curves, options.metric)
    stuck = _stuck(curves, options)
    losses = select(points, logs.runs.index, options.loss)
    not_finite = _not_finite(points, options.loss)
    rows, said = [], []
    for index, run in enumerate(curves.runs):
        steps, since = _after(curves, index, stuck.resume)
        if not since:
            continue
        loss = _at(losses, index, [*stuck.steps, *steps], not_finite.get(run, frozenset()))
        found = verdicts(
            loss[len(stuck.steps) :],
            since,
            stuck.values,
            losses_before=loss[: len(stuck.steps)],
            pace=options.pace,
        )
        row = _row(run, steps, since, stuck, found, options)
        rows.append(row | _parameters(logs, run, {*row, _AS_GOOD}))
        said += [
            {
                "run": run,
                "step": steps[verdict.epoch - 1],
                "verdict": verdict.kind,
                "because": verdict.because,
                "advice": verdict.advice,
            }
            for verdict in found
        ]
    if not rows:
        raise LogError(f"no run has a value after step {stuck.resume}, the resume point")
    table = pd.DataFrame(rows).sort_values("gain", ascending=False, ignore_index=True)
    best = table.iloc[0]
    apart = np.hypot(table["error"], best["error"])
    table.insert(7, _AS_GOOD, best["gain"] - table["gain"] <= _CERTAIN * apart)
    columns = ["run", "step", "verdict", "because", "advice"]
    return Tables(stuck, table, pd.DataFrame(said, columns=columns), _drawn(curves))


def _check_metric(curves: Curves, metric: str) -> None:
    if direction(metric) == "min":
        raise LogError(f"{metric}: by its name less of it is better; this report needs more")
    outside = curves.values[(curves.values < 0) | (curves.values > 1)]
    if outside.size:
        raise LogError(
            f"{metric}: {outside[0]:g} is not in [0, 1], which the monitor's rules are for"
        )


def _joined(points: pd.DataFrame, before: str) -> tuple[pd.DataFrame, int]:
    """Put the run `before` in front of all others, which count their steps from its last one.

    Returns that step too; raises `LogError` where there is no such run.
    """
    names = sorted(map(str, points["run"].unique()))
    if before not in names:
        raise LogError(f"--before: no run {before!r}; found: {', '.join(names)}")
    is_first = points["run"] == before
    first, others = points[is_first], points[~is_first]
    last = int(first["step"].max())
    parts = [first, others.assign(step=others["step"] + last)]
    parts += [first.assign(run=name) for name in names if name != before]
    return pd.concat([part.assign(run=part["run"].astype(str)) for part in parts]), last


def _stuck(curves: Curves, options: Options) -> Stuck:
    """Return the run that all share, up to the resume point."""
    runs = [curves.of(index) for index in np.flatnonzero(curves.num_points()).tolist()]
    if not runs:
        raise LogError(f"{options.metric}: no finite value")
    steps, values = max(runs, key=lambda run: len(run[0]))
    num = _common(runs) if options.resume is None else int((steps <= options.resume).sum())
    if num == 0 or (options.resume is None and len(runs) == 1):
        raise LogError(
            "the runs have no beginning in common; name the last step of the one that was stuck "
            "by --resume"
        )
    places = tuple(int(step) for step in steps[:num])
    found = tuple(float(value) for value in values[:num])
    return Stuck(places, found, places[stuck_since(found)])


def _common(runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> int:
    """Return how many points the runs have in common before two of them differ."""
    for num in range(max(len(steps) for steps, _ in runs)):
        points = [(steps[num], values[num]) for steps, values in runs if num < len(steps)]
        if len(points) == 1 or len(set(points)) > 1:
            return num
    return num + 1


def _after(curves: Curves, index: int, resume: int) -> tuple[list[int], list[float]]:
    steps, values = curves.of(index)
    later = steps > resume
    return [int(step) for step in steps[later]], [float(value) for value in values[later]]


def _not_finite(points: pd.DataFrame, metric: str) -> dict[str, frozenset[float]]:
    """Return run -> steps at which its log has a value that is not finite."""
    wrong = points[(points["metric"] == metric) & ~np.isfinite(points["value"])]
    steps = wrong.groupby("run", observed=True)["step"]
    return {str(run): frozenset(found) for run, found in steps}


def _at(
    losses: Curves, index: int, steps: Sequence[int], not_finite: frozenset[float]
) -> list[float]:
    """Return the losses at `steps`; where one was not finite, NaN, which is an explosion.

    One that was not logged is as the last before it, or as the first: nothing is said of it.
    """
    logged = dict(zip(*losses.of(index), strict=True))
    last, found = next(iter(logged.values()), 1.0), []
    for step in steps:
        last = logged.get(step, last)
        found.append(math.nan if step in not_finite and step not in logged else float(last))
    return found


def _row(
    run: str,
    steps: Sequence[int],
    since: Sequence[float],
    stuck: Stuck,
    found: Sequence[Verdict],
    options: Options,
) -> dict[str, object]:
    gained, error = gain(since, stuck.values)
    reached = [step for step, value in zip(steps, since, strict=True) if value >= options.target]
    calling = [verdict.kind for verdict in found if verdict.kind != "dip"]
    return {
        "run": run,
        "epochs": len(since),
        "level": level(since),
        "gain": gained,
        "error": error,
        "real": gained > _CERTAIN * error,
        "reached": reached[0] if reached else math.nan,
        "verdict": calling[-1] if calling else "",
    }


def _parameters(logs: Logs, run: str, taken: Container[str]) -> dict[str, object]:
    """Return the hyperparameters by their names, with `_param` where a name is `taken`."""
    said = logs.runs.loc[run]
    columns = [str(name) for name in said.index if str(name).startswith(_PARAMETER)]
    names = {name: name.removeprefix(_PARAMETER) for name in columns if name != _FILE}
    return {
        f"{name}_param" if name in taken else name: said[column] for column, name in names.items()
    }


def _drawn(curves: Curves) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"run": run, "step": steps, "value": values, "state": "run", "colour": run})
        for run, (steps, values) in ((r, curves.of(i)) for i, r in enumerate(curves.runs))
    ]
    return pd.concat(parts, ignore_index=True)
