"""Forecasts of curves in sets, with no data set informing the shipped part of its own bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.backtest import BackTest, back_test
from analysis.conformal import RATIOS, pool_of
from analysis.curves import Curve, Floats
from analysis.forecast import Forecast, forecast

_NUM_LEVELS = 20


@dataclass(frozen=True)
class Tried:
    """One forecast and what came of it."""

    data_set: str
    sign: float
    value: float
    found: Forecast
    shipped: Forecast
    """With bands from the table of the other data sets alone."""


def data_set_of(name: str) -> str:
    """Return the data set of a set of curves that is named `data set: metric`."""
    return name.partition(": ")[0]


def score_table(tests: Mapping[str, BackTest]) -> Floats:
    """Return the scores of sets of curves at evenly spaced levels: (ratios, levels).

    A data set of n curves counts as sqrt(n): large ones do not drown the others.
    """
    scores: dict[str, list[Floats]] = {}
    for name, test in tests.items():
        scores.setdefault(data_set_of(name), []).append(test.scores)
    by_data_set = [np.concatenate(parts) for parts in scores.values()]
    return np.array([_levels([part[:, at] for part in by_data_set]) for at in range(len(RATIOS))])


def _levels(columns: Sequence[Floats]) -> Floats:
    finite = [column[np.isfinite(column)] for column in columns]
    scores = np.concatenate(finite)
    weights = np.concatenate([np.full(len(part), max(len(part), 1) ** -0.5) for part in finite])
    order = np.argsort(scores, kind="stable")
    mass = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    levels = (np.arange(_NUM_LEVELS) + 0.5) / _NUM_LEVELS
    found: Floats = np.interp(levels, mass, scores[order])
    return found


def try_sets(
    sets: Mapping[str, Sequence[Curve]], shares: Sequence[float]
) -> dict[float, list[Tried]]:
    """Forecast the last value of each curve from each share of its steps.

    Bands rest on the other curves of its set, as in `thaw forecast`, and on a table that is made
    of all other data sets instead of the shipped one.
    """
    tests = {name: back_test(curves) for name, curves in sets.items()}
    found: dict[float, list[Tried]] = {share: [] for share in shares}
    for name, curves in sets.items():
        data_set = data_set_of(name)
        others = {key: test for key, test in tests.items() if data_set_of(key) != data_set}
        table = score_table(others)
        alone = pool_of(np.empty((0, len(RATIOS))), table)
        for curve in curves:
            pool, end = pool_of(tests[name].without(curve.run), table), float(curve.steps[-1])
            for share in shares:
                seen = curve.until(share * end)
                one = Tried(
                    data_set=data_set,
                    sign=curve.sign,
                    value=float(curve.values[-1]),
                    found=forecast(seen, end, pool, min_gain=1.0),
                    shipped=forecast(seen, end, alone),
                )
                found[share].append(one)
    return found
