"""The trials of a search: how far each came, what it reached, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.logs import LogError, Logs
from analysis.metrics import Unit, choose_metric, direction, unit_of
from analysis.transfer.dimensions import MOMENT, PARAM, Dimension, dimensions_of, role_of
from analysis.transfer.options import Options

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
FINISHED, STOPPED = "finished", "stopped"
MEMORY = "peak_memory_bytes"
"""Metric that a run has where the memory of its device was measured."""
_ORIGIN, _SEED = f"{PARAM}origin", f"{PARAM}seed"
_HEAD_ALONE = frozenset({"head", "from head"})
"""What a first stage is called in which nothing but the head trains."""


_COLUMNS = (
    *("value", "best_epoch", "last", "last_epoch", "seconds", "memory", "head_epochs"),
    *("frozen_s", "full_s", "at_unfreezing"),
)


@dataclass(frozen=True)
class Curve:
    """The evaluations of a trial in their order."""

    epoch: Floats
    value: Floats
    wall_s: Floats
    """Seconds since the first epoch on the metric's own data began."""


@dataclass(frozen=True)
class Trials:
    """What a search left behind, ready to be computed with."""

    metric: str
    mode: str
    unit: Unit
    table: pd.DataFrame
    """Index: trial. Columns: status, value, best_epoch, last, last_epoch, seconds, memory (most
    bytes of an epoch), head_epochs (epochs of the head alone), frozen_s and full_s (seconds of an
    epoch before and after the unfreezing), at_unfreezing (the metric at the end of the head
    alone). NaN where there is none."""
    dimensions: list[Dimension]
    pinned: dict[str, str]
    """Hyperparameters that all trials have in common."""
    curves: dict[str, Curve]
    clusters: npt.NDArray[np.int64]  # (trials,): the number of the configuration
    confirmed: pd.DataFrame
    """Runs of `thaw confirm` that finished, likewise, with columns origin and seed."""
    options: Options

    @property
    def sign(self) -> int:
        """Gains are differences times this: positive is better."""
        return 1 if self.mode == "max" else -1

    @property
    def finished(self) -> Flags:
        """Which trials came to their end: only they enter means."""
        done = (self.table["status"] == FINISHED) & self.table["value"].notna()
        return done.to_numpy(bool)

    @property
    def stopped(self) -> Flags:
        """Which trials were stopped early."""
        return (self.table["status"] == STOPPED).to_numpy(bool)

    def column(self, name: str) -> Floats:
        """Return a column of the table as an array."""
        return self.table[name].to_numpy(np.float64)


def trials_of(logs: Logs, options: Options) -> Trials:
    """Return the trials in `logs`; raise `LogError` where they are no search."""
    metric, _ = choose_metric(logs.points, options.metric)
    mode = direction(metric, options.mode)
    points = logs.points[(logs.points["metric"] == metric) & np.isfinite(logs.points["value"])]
    curves = _curves(points, logs.points)
    confirmation = _is_confirmation(logs.runs)
    runs = logs.runs[~confirmation]
    dimensions = dimensions_of(runs, runs["status"] == FINISHED)
    if not dimensions:
        raise LogError(
            "no dimension of a search in these logs: the trials differ in no hyperparameter; name "
            "the folder of a search's results, which holds trials.csv or params.json"
        )
    if not runs["status"].isin([FINISHED, STOPPED]).any():
        raise LogError(
            f"no trial of a search in these logs: none of the {len(runs):,} runs says that it "
            "finished or was stopped; name the folder of a search's results"
        )
    heads = _head_epochs(logs.runs, role_of(dimensions, MOMENT))
    memory = _most_memory(logs.points)
    rows = [
        _row(curves[str(run)], heads[run], memory.get(str(run), np.nan), mode, options)
        if str(run) in curves
        else dict.fromkeys(_COLUMNS, np.nan) | {"head_epochs": heads[run]}
        for run in runs.index
    ]
    table = pd.DataFrame(rows, index=runs.index, columns=list(_COLUMNS))
    table.insert(0, "status", runs["status"].fillna("").astype(str))
    return Trials(
        metric=metric,
        mode=mode,
        unit=unit_of(metric, points["value"].to_numpy()),
        table=table,
        dimensions=dimensions,
        pinned=_pinned(runs),
        curves=curves,
        clusters=_clusters(runs, dimensions),
        confirmed=_confirmed(logs.runs[confirmation], curves, heads, memory, mode, options),
        options=options,
    )


def _is_confirmation(runs: pd.DataFrame) -> Flags:
    if _ORIGIN not in runs or _SEED not in runs:
        return np.zeros(len(runs), bool)
    return (runs[_ORIGIN].notna() & runs[_SEED].notna()).to_numpy(bool)


def _curves(points: pd.DataFrame, every: pd.DataFrame) -> dict[str, Curve]:
    """Return run -> curve; what a run did on other data before is not in its seconds."""
    first = points.groupby("run", observed=True)["epoch"].min()
    earlier = every[every["epoch"] < every["run"].map(first).astype(float)]
    begun = earlier.groupby("run", observed=True)["wall_s"].max().fillna(0.0)
    return {
        str(run): _curve(part, float(begun.get(run, 0.0)))
        for run, part in points.groupby("run", observed=True)
    }


def _curve(points: pd.DataFrame, begun: float) -> Curve:
    epoch = points["epoch"].to_numpy(np.float64)
    at = epoch if np.isfinite(epoch).all() else points["step"].to_numpy(np.float64)
    wall_s = points["wall_s"].to_numpy(np.float64) - begun
    return Curve(at, points["value"].to_numpy(np.float64), wall_s)


def _head_epochs(runs: pd.DataFrame, moment: Dimension | None) -> pd.Series:
    """Return the epochs that each run trained its head alone; NaN where that is not known.

    What the log says of its stages goes before what was asked for.
    """
    found = pd.Series(np.nan, runs.index)
    if moment is not None and moment.is_number:
        found = moment.values.astype(float).reindex(runs.index)
    if "stages" not in runs:
        return found
    trained = [
        float(stages[0][1]) if stages and stages[0][0] in _HEAD_ALONE else np.nan
        for stages in runs["stages"]
    ]
    return pd.Series(trained, runs.index).fillna(found)


def _most_memory(points: pd.DataFrame) -> dict[str, float]:
    """Return run -> the most memory of its epochs in bytes, of those where it was measured."""
    found = points[points["metric"] == MEMORY]
    most = found.groupby("run", observed=True)["value"].max().dropna()
    return {str(run): float(value) for run, value in most.items()}


def _row(
    curve: Curve, head_epochs: float, memory: float, mode: str, options: Options
) -> dict[str, float]:
    best = int(np.argmax(curve.value) if mode == "max" else np.argmin(curve.value))
    return {
        "value": float(curve.value[best if options.value == "best" else -1]),
        "best_epoch": float(curve.epoch[best]),
        "last": float(curve.value[-1]),
        "last_epoch": float(curve.epoch[-1]),
        "seconds": float(curve.wall_s[-1]),
        "memory": memory,
        "head_epochs": head_epochs,
    } | _around(curve, head_epochs)


def _around(curve: Curve, until: float) -> dict[str, float]:
    """Return what a curve says of the epochs before and after the unfreezing after `until`."""
    if np.isnan(until):
        return dict.fromkeys(("frozen_s", "full_s", "at_unfreezing"), np.nan)
    took = np.diff(curve.wall_s)
    head = curve.epoch[1:] <= until
    frozen, full = took[head & (took > 0)], took[~head & (took > 0)]
    before = curve.value[curve.epoch <= until]
    return {
        "frozen_s": float(np.median(frozen)) if len(frozen) else np.nan,
        "full_s": float(np.median(full)) if len(full) else np.nan,
        "at_unfreezing": float(before[-1]) if len(before) else np.nan,
    }


def _pinned(runs: pd.DataFrame) -> dict[str, str]:
    found = {}
    for column in map(str, runs.columns):
        values = runs[column].dropna().map(repr)
        if column.startswith(PARAM) and len(values) and values.nunique() == 1:
            found[column.removeprefix(PARAM)] = str(runs[column].dropna().iloc[0])
    return found


def _clusters(runs: pd.DataFrame, dimensions: list[Dimension]) -> npt.NDArray[np.int64]:
    texts = pd.DataFrame({d.name: runs[PARAM + d.name].map(repr) for d in dimensions})
    return texts.groupby(list(texts.columns), sort=False).ngroup().to_numpy().astype(np.int64)


def _confirmed(
    runs: pd.DataFrame,
    curves: dict[str, Curve],
    heads: pd.Series,
    memory: dict[str, float],
    mode: str,
    options: Options,
) -> pd.DataFrame:
    found = {
        run: {"origin": str(runs.at[run, _ORIGIN]), "seed": runs.at[run, _SEED]}
        | _row(curves[str(run)], heads[run], memory.get(str(run), np.nan), mode, options)
        for run in runs.index
        if str(run) in curves and runs.at[run, "status"] in (FINISHED, "")
    }
    return pd.DataFrame.from_dict(found, orient="index", columns=["origin", "seed", *_COLUMNS])
