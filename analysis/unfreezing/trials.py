"""The trials of a search: how far each came, what it reached, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.logs import LogError, Logs
from analysis.metrics import Unit, choose_metric, direction, unit_of
from analysis.unfreezing.dimensions import MOMENT, PARAM, Dimension, dimensions_of, role_of
from analysis.unfreezing.options import Options

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
FINISHED, STOPPED = "finished", "stopped"
_ORIGIN, _SEED = f"{PARAM}origin", f"{PARAM}seed"


@dataclass(frozen=True)
class Curve:
    """The evaluations of a trial in their order."""

    epoch: Floats
    value: Floats
    wall_s: Floats


@dataclass(frozen=True)
class Trials:
    """What a search left behind, ready to be computed with."""

    metric: str
    mode: str
    unit: Unit
    table: pd.DataFrame
    """Index: trial. Columns: status, value, best_epoch, last, last_epoch, seconds, frozen_s and
    full_s (seconds of an epoch before and after the unfreezing), at_unfreezing (the metric at the
    end of the head alone), settled_epoch. NaN where there is none."""
    dimensions: list[Dimension]
    pinned: dict[str, str]
    """Hyperparameters that all trials have in common."""
    curves: dict[str, Curve]
    clusters: npt.NDArray[np.int64]  # (trials,): the number of the configuration
    confirmed: pd.DataFrame
    """Runs of `thaw confirm`: origin, seed, value."""
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
    curves = {str(run): _curve(part) for run, part in points.groupby("run", observed=True)}
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
    moment = role_of(dimensions, MOMENT)
    unit = unit_of(metric, points["value"].to_numpy())
    rows = [_row(str(run), curves, moment, mode, unit, options) for run in runs.index]
    table = pd.DataFrame(rows, index=runs.index)
    table.insert(0, "status", runs["status"].fillna("").astype(str))
    return Trials(
        metric=metric,
        mode=mode,
        unit=unit,
        table=table,
        dimensions=dimensions,
        pinned=_pinned(runs),
        curves=curves,
        clusters=_clusters(runs, dimensions),
        confirmed=_confirmed(logs.runs[confirmation], curves, mode),
        options=options,
    )


def _is_confirmation(runs: pd.DataFrame) -> Flags:
    if _ORIGIN not in runs or _SEED not in runs:
        return np.zeros(len(runs), bool)
    return (runs[_ORIGIN].notna() & runs[_SEED].notna()).to_numpy(bool)


def _curve(points: pd.DataFrame) -> Curve:
    epoch = points["epoch"].to_numpy(np.float64)
    at = epoch if np.isfinite(epoch).all() else points["step"].to_numpy(np.float64)
    return Curve(at, points["value"].to_numpy(np.float64), points["wall_s"].to_numpy(np.float64))


def _row(
    run: str,
    curves: dict[str, Curve],
    moment: Dimension | None,
    mode: str,
    unit: Unit,
    options: Options,
) -> dict[str, float]:
    names = "value best_epoch last last_epoch seconds frozen_s full_s at_unfreezing settled_epoch"
    row = dict.fromkeys(names.split(), np.nan)
    if run not in curves:
        return row
    curve = curves[run]
    best = int(np.argmax(curve.value) if mode == "max" else np.argmin(curve.value))
    row["value"] = float(curve.value[best if options.value == "best" else -1])
    row["best_epoch"], row["last_epoch"] = float(curve.epoch[best]), float(curve.epoch[-1])
    row["last"], row["seconds"] = float(curve.value[-1]), float(curve.wall_s[-1])
    if moment is not None and moment.is_number and not np.isnan(until := moment.values[run]):
        row |= _around(curve, float(until), options.settled / unit.scale)
    return row


def _around(curve: Curve, until: float, settled: float) -> dict[str, float]:
    """Return what a curve says of the epochs before and after the unfreezing after `until`."""
    took = np.diff(curve.wall_s)
    head = curve.epoch[1:] <= until
    frozen, full = took[head & (took > 0)], took[~head & (took > 0)]
    before = curve.value[curve.epoch <= until]
    still = np.flatnonzero(np.abs(np.diff(before)) < settled)
    return {
        "frozen_s": float(np.median(frozen)) if len(frozen) else np.nan,
        "full_s": float(np.median(full)) if len(full) else np.nan,
        "at_unfreezing": float(before[-1]) if len(before) else np.nan,
        "settled_epoch": float(curve.epoch[still[0] + 1]) if len(still) else np.nan,
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


def _confirmed(runs: pd.DataFrame, curves: dict[str, Curve], mode: str) -> pd.DataFrame:
    best = np.max if mode == "max" else np.min
    rows = [
        (str(runs.at[run, _ORIGIN]), runs.at[run, _SEED], float(best(curves[str(run)].value)))
        for run in runs.index
        if str(run) in curves and runs.at[run, "status"] in (FINISHED, "")
    ]
    return pd.DataFrame(rows, columns=["origin", "seed", "value"])
