"""Forecasts of all runs of some logs, each with bands from back-tests of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.backtest import METHODS, BackTest, back_test
from analysis.conformal import DEFAULT_RUNS, RATIOS, pool_of
from analysis.curves import Curve, read_curves
from analysis.forecast import Forecast, forecast
from analysis.limits import limits_of

REACHED = "reached"
"""Flag of a run that is at the target already: there is nothing to forecast."""
_MOST_RUNS = 200
"""Of more runs, so many are back-tested, evenly spread over the sorted names."""
_MIN_RUNS = 5


@dataclass(frozen=True)
class Forecasts:
    """Of all runs that have the metric, in the order of their names."""

    runs: tuple[Forecast, ...]
    back_test: BackTest
    notes: tuple[str, ...]
    """Sentences on how far the forecasts can be trusted."""


def forecast_to(
    curves: Sequence[Curve], step: float, *, min_gain: float = 0.0, num_devices: int = 1
) -> Forecasts:
    """Forecast each curve to `step`; see `forecast` for the options."""
    return _forecasts(curves, curves, [step] * len(curves), min_gain, num_devices)


def forecast_seen(
    curves: Sequence[Curve], share: float, *, min_gain: float = 0.0, num_devices: int = 1
) -> Forecasts:
    """Forecast the last value of each curve from its first `share` of steps, 0 < share < 1.

    The bands of a run come from the whole curves of the others.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share seen must be between 0 and 1, got {share}")
    known = [curve for curve in curves if len(curve)]
    seen = [curve.until(share * float(curve.steps[-1])) for curve in known]
    ends = [float(curve.steps[-1]) for curve in known]
    return _forecasts(known, seen, ends, min_gain, num_devices)


def forecast_logs(
    points: pd.DataFrame,
    runs: pd.DataFrame,
    metric: str,
    *,
    maximize: bool,
    to: float | None = None,
    seen: float | None = None,
    min_gain: float = 0.0,
    num_devices: int = 1,
) -> Forecasts:
    """Forecast `metric` of all runs: to the step `to`, or back-tested from the share `seen`.

    `points` and `runs` are tables as `Logs` has them. Raise `ValueError` unless exactly one of
    `to` and `seen` is given, and for a share that is none. What a metric cannot be (`limits.py`)
    is not forecast either.
    """
    values = points.loc[points["metric"] == metric, "value"].to_numpy(np.float64)
    lower, upper = limits_of(metric, values)
    curves = [
        replace(curve, lower=lower, upper=upper)
        for curve in read_curves(points, runs, metric, maximize=maximize)
    ]
    if to is not None and seen is None:
        return forecast_to(curves, to, min_gain=min_gain, num_devices=num_devices)
    if seen is not None and to is None:
        return forecast_seen(curves, seen, min_gain=min_gain, num_devices=num_devices)
    raise ValueError("a forecast needs either a step to look ahead to or a share seen")


def _forecasts(
    whole: Sequence[Curve],
    seen: Sequence[Curve],
    targets: Sequence[float],
    min_gain: float,
    num_devices: int,
) -> Forecasts:
    tested = back_test(whole[:: -(-len(whole) // _MOST_RUNS) or 1])
    shared = pool_of(tested.scores)
    found = []
    for curve, target in zip(seen, targets, strict=True):
        if len(curve) and target <= curve.steps[-1]:
            found.append(_reached(curve, target))
            continue
        own = curve.run in tested.runs
        pool = pool_of(tested.without(curve.run)) if own else shared
        found.append(forecast(curve, target, pool, min_gain=min_gain, num_devices=num_devices))
    notes = (*_notes(tested, found), *_about_devices(seen, num_devices))
    return Forecasts(tuple(found), tested, notes)


def _reached(curve: Curve, target: float) -> Forecast:
    return Forecast(
        run=curve.run,
        seen_step=float(curve.steps[-1]),
        target_step=target,
        last_value=float(curve.values[-1]),
        flags=(REACHED,),
    )


def _notes(tested: BackTest, found: Sequence[Forecast]) -> tuple[str, ...]:
    """Say where the bands come from, and where a naive answer would have done as well."""
    ratios = [f.target_step / f.seen_step for f in found if f.predicted is not None and f.seen_step]
    if not ratios:
        return ("No run can be forecast: too few evaluations, or a constant metric.",)
    at = int(np.argmin(np.abs(np.log(RATIOS / np.median(ratios)))))
    num = int(np.isfinite(tested.scores[:, at]).sum())
    notes = [
        f"Bands rest on back-tests of {num} runs here, to {RATIOS[at]:.2f} times the steps seen, "
        f"and on a shipped table that counts for {DEFAULT_RUNS:.0f}."
    ]
    ours, *others = tested.median_errors()[at]
    best = int(np.argmin(others))
    if num >= _MIN_RUNS and others[best] <= ours:
        notes.append(
            f"On these runs the forecast does not beat {METHODS[1 + best].replace('_', ' ')}: "
            f"median error {ours:.3g} against {others[best]:.3g}."
        )
    return tuple(notes)


def _about_devices(curves: Sequence[Curve], num_devices: int) -> Iterator[str]:
    num = sum(curve.sums_devices for curve in curves)
    if num and num_devices > 1:
        yield (
            f"{num} runs are results of thaw, whose seconds are device-seconds: --devices is not "
            "for them."
        )
