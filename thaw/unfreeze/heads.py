"""When each trial's head had settled, by the signals that schedules act on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from analysis.logs import Logs
from analysis.transfer.trials import Trials
from thaw.unfreeze.options import Options
from training.record import Record
from training.rules import (
    AccuracySettled,
    GapSteady,
    LossFlat,
    Rule,
    Signal,
    TrainSteady,
    in_training,
)
from training.walk import UNKNOWN

_LOSSES = ("train_loss", "val_loss")
SETTLED = "settled"


@dataclass(frozen=True)
class Heads:
    """The histories of heads alone, and when they had settled."""

    histories: Mapping[str, tuple[Record, ...]]
    """Run -> the records of its head alone, one for each epoch."""
    trunks: Mapping[str, str]
    """Run -> the run with the longest head of those that began alike."""
    signals: tuple[Signal, ...]
    """The spec's signals that these logs have the metrics for."""
    table: pd.DataFrame
    """Index: run. Columns: head_epochs, one for each signal and `settled` for all of them (the
    first epoch at which it held; NaN for not yet), and trunk_settled (likewise by the longest head
    that began alike, which is what it would have been with more patience)."""

    def longest(self) -> dict[str, tuple[Record, ...]]:
        """Return the trunks: no two of them begin alike."""
        return {run: self.histories[run] for run in dict.fromkeys(self.trunks.values())}


def heads_of(logs: Logs, trials: Trials, options: Options) -> Heads:
    """Return what is known of all runs that trained a head alone, also of confirmations."""
    lengths = pd.concat([trials.table["head_epochs"], trials.confirmed["head_epochs"]]).dropna()
    names = _names(trials.metric, set(map(str, logs.points["metric"].unique())))
    points = logs.points[logs.points["metric"].isin(names)]
    histories = {}
    for run, part in points.groupby("run", observed=True):
        if run in lengths.index:
            found = _records(part, trials.metric, float(lengths[run]), len(names))
            if found:
                histories[str(run)] = found
    signals = tuple(s for s in _signals(trials.metric, options) if _asks(s) <= names)
    trunks = _trunks(histories)
    settled = {run: _moments(found, signals) for run, found in histories.items()}
    rows = {
        run: {"head_epochs": float(lengths[run]), **settled[run]}
        | {"trunk_settled": settled[trunks[run]][SETTLED]}
        for run in histories
    }
    columns = ["head_epochs", *(signal.kind for signal in signals), SETTLED, "trunk_settled"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return Heads(histories, trunks, signals, table)


def first_epoch(rule: Rule, records: Sequence[Record]) -> float:
    """Return the first epoch at whose end a rule held, from 1; NaN where it never did."""
    for epoch in range(1, len(records) + 1):
        if rule.holding(records[:epoch], ()):
            return float(epoch)
    return math.nan


def _names(metric: str, known: set[str]) -> set[str]:
    """Return the metrics that signals look at, of those that the logs have."""
    return {metric, in_training(metric), *_LOSSES} & known


def _signals(metric: str, options: Options) -> tuple[Signal, ...]:
    """Return the source's four signals of a head that has settled."""
    patience, points = options.patience, options.settled
    return (
        LossFlat(drop=options.drop / 100, patience=patience),
        AccuracySettled(metric=metric, points=points, patience=patience),
        TrainSteady(noise=options.noise / 100, patience=patience),
        GapSteady(metric=metric, points=points, patience=patience),
    )


def _asks(signal: Signal) -> set[str]:
    """Return the metrics that a signal looks at."""
    match signal:
        case AccuracySettled(metric=metric):
            return {str(metric)}
        case GapSteady(metric=metric):
            return {str(metric), in_training(str(metric))}
        case TrainSteady():
            return {"train_loss"}
        case _:
            return {"val_loss"}


def _records(
    points: pd.DataFrame, metric: str, length: float, num_metrics: int
) -> tuple[Record, ...]:
    """Return a record for each epoch of the head; none where an epoch is missing."""
    wide = points.pivot_table(index="epoch", columns="metric", values="value", observed=True)
    wide = wide[(wide.index >= 1) & (wide.index <= length)]
    if list(wide.index) != list(range(1, len(wide) + 1)) or wide.shape[1] != num_metrics:
        return ()
    return tuple(
        replace(UNKNOWN, metrics={str(name): float(value) for name, value in row.items()})
        for row in wide.to_dict("records")
    )


def _trunks(histories: Mapping[str, tuple[Record, ...]]) -> dict[str, str]:
    """Return for each run the one with the longest head of those whose first epoch is the same."""
    longest: dict[tuple[tuple[str, float], ...], str] = {}
    beginnings = {run: tuple(sorted(found[0].metrics.items())) for run, found in histories.items()}
    for run, begins in beginnings.items():
        if len(histories[run]) > len(histories.get(longest.get(begins, ""), ())):
            longest[begins] = run
    return {run: longest[begins] for run, begins in beginnings.items()}


def _moments(records: Sequence[Record], signals: Sequence[Signal]) -> dict[str, float]:
    """Return the first epoch at which each signal held, and all of them."""
    found: dict[str, float] = {
        signal.kind: first_epoch(Rule(any=(signal,)), records) for signal in signals
    }
    together = first_epoch(Rule(all=tuple(signals)), records) if signals else math.nan
    return {**found, SETTLED: together}
