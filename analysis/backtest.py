"""Back-tests: what would have been forecast of each run, earlier, and by how much it was off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.ahead import last_value, log_linear, look_ahead
from analysis.conformal import RATIOS
from analysis.curves import Curve, Floats
from analysis.flags import CONSTANT, RESTART, TOO_FEW, flags_of

METHODS = ("forecast", "last_value", "log_linear")
_UNTRIED = {TOO_FEW, CONSTANT, RESTART}


@dataclass(frozen=True)
class BackTest:
    """Misses of forecasts of the last value of each run; NaN where there was too little to see."""

    runs: tuple[str, ...]
    scores: Floats  # (runs, ratios): (value - predicted) / scale, more is better
    errors: Floats  # (runs, ratios, methods): absolute, in the unit of the metric

    def without(self, run: str) -> Floats:
        """Return the scores of all other runs."""
        return self.scores[[name != run for name in self.runs]]

    def median_errors(self) -> Floats:
        """Return the median over runs of the absolute error, (ratios, methods); NaN for none."""
        medians = np.full(self.errors.shape[1:], np.nan)
        for at in range(len(RATIOS)):
            tried = self.errors[np.isfinite(self.errors[:, at, 0]), at]
            if len(tried):
                medians[at] = np.median(tried, axis=0)
        return medians


def back_test(curves: Sequence[Curve]) -> BackTest:
    """Forecast the last value of each curve from its beginning, at each of `RATIOS`.

    Curves of which the end is not known (stopped by a pruner) are left out.
    """
    known = [curve for curve in curves if len(curve) and curve.status != "stopped"]
    tried = [[_miss(curve, float(ratio)) for ratio in RATIOS] for curve in known]
    found = np.array(tried, dtype=np.float64).reshape(len(known), len(RATIOS), 1 + len(METHODS))
    return BackTest(tuple(curve.run for curve in known), found[:, :, 0], found[:, :, 1:])


def _miss(curve: Curve, ratio: float) -> tuple[float, ...]:
    """Return the score and the absolute error of each method; NaN where it is not tried."""
    target = float(curve.steps[-1])
    seen = curve.until(target / ratio)
    if _UNTRIED.intersection(flags_of(seen, target)):
        return (np.nan,) * (1 + len(METHODS))
    ahead = look_ahead(seen, np.array([target]))
    miss = float(curve.goodness[-1] - ahead.level - ahead.gains[0])
    truth = float(curve.values[-1])
    naive = (last_value(seen), log_linear(seen, target))
    return miss / float(ahead.scales[0]), abs(miss), *(abs(truth - value) for value in naive)
