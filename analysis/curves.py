"""A learning curve: what one run has shown of one metric."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.readers.thaw_results import THAW

Floats = npt.NDArray[np.float64]
_LR = re.compile(r"(^|[/_.\s])(lr|learning[_ ]?rate)([/.\s-].*|_?\d+)?$", re.IGNORECASE)
_SAME_CLOCK = 2.0
"""Learning rates whose last step is off by more than this factor count in another unit."""
_STARTED_AGAIN = 0.2
"""A log of which this share of the points was replaced by later ones is of a run started again;
less is the overlap of a run that was resumed."""


@dataclass(frozen=True)
class Curve:
    """Evaluations of one run at rising steps; raises `ValueError` for an impossible shape."""

    run: str
    steps: Floats = field(repr=False)  # (n,), positive and rising
    values: Floats = field(repr=False)  # (n,), finite
    maximize: bool = True
    """Whether more is better."""
    lr: Floats | None = field(default=None, repr=False)  # (n,), at the same steps
    status: str = ""
    """How the run ended, as its log says: `stopped` is by a pruner; empty if it does not say."""
    repeated: bool = False
    """Whether the log holds more than one start of the run, over the same steps."""
    lower: float = -math.inf
    """The least value that the metric can have."""
    upper: float = math.inf
    """The greatest."""
    step_s: float = float("nan")
    """Seconds for each step, evaluations included; NaN where the log has no times."""
    sums_devices: bool = False
    """Whether these are device-seconds, as in the results of thaw."""

    def __post_init__(self) -> None:
        if self.steps.ndim != 1 or self.steps.shape != self.values.shape:
            raise ValueError(f"{self.run}: {self.steps.shape} steps, {self.values.shape} values")
        if not (np.all(np.diff(self.steps) > 0) and np.all(self.steps > 0)):
            raise ValueError(f"{self.run}: steps must be positive and rise")
        if not np.all(np.isfinite(self.values)):
            raise ValueError(f"{self.run}: values must be finite")

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def sign(self) -> float:
        """Return 1 where more is better, else -1."""
        return 1.0 if self.maximize else -1.0

    @property
    def goodness(self) -> Floats:
        """Return the values, turned such that more is better."""
        return self.sign * self.values

    def device_hours(self, target: float, num_devices: int) -> float:
        """Return the device-hours from the last step to `target` on so many devices.

        NaN where the log has no times. Device-seconds know already how many devices there are.
        """
        seconds = self.step_s * (target - float(self.steps[-1]))
        return (1 if self.sums_devices else num_devices) * seconds / 3600

    def until(self, step: float) -> Curve:
        """Return the curve up to `step`, that step included."""
        return self._part(slice(0, int(np.searchsorted(self.steps, step * (1 + 1e-9), "right"))))

    def since(self, index: int) -> Curve:
        """Return the curve from an evaluation on."""
        return self._part(slice(index, None))

    def _part(self, part: slice) -> Curve:
        lr = None if self.lr is None else self.lr[part]
        return replace(self, steps=self.steps[part], values=self.values[part], lr=lr)


def make_curve(
    run: str, steps: npt.ArrayLike, values: npt.ArrayLike, *, maximize: bool = True
) -> Curve:
    """Return the curve of unsorted points: the later of two at one step, none that is not finite.

    Points at step 0 and before are left out: nothing was trained there.
    """
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    usable = np.isfinite(x) & np.isfinite(y) & (x > 0)
    x, y = x[usable], y[usable]
    unique, last = np.unique(x[::-1], return_index=True)
    return Curve(run, unique, y[::-1][last], maximize)


def read_curves(
    points: pd.DataFrame, runs: pd.DataFrame, metric: str, *, maximize: bool
) -> Iterator[Curve]:
    """Yield the curve of each run that has `metric`, with its learning rate where one is logged.

    `points` and `runs` are tables as `Logs` has them.
    """
    rates, num_points = _rates(points), points["run"].value_counts()
    chosen = points.loc[points["metric"] == metric, ["run", "step", "wall_s", "value"]]
    for name, part in chosen.groupby("run", observed=True, sort=True):
        curve = make_curve(
            str(name), part["step"].to_numpy(), part["value"].to_numpy(), maximize=maximize
        )
        facts = runs.loc[name] if name in runs.index else pd.Series(dtype=object)
        repeated = bool(facts.get("merged_points", 0) >= _STARTED_AGAIN * num_points[name])
        lr = _rate_at(curve, rates.get(str(name)))
        status = str(facts.get("status", "") or "")
        yield replace(
            curve,
            lr=lr,
            status=status,
            repeated=repeated,
            step_s=_step_s(part),
            sums_devices=str(facts.get("kind", "")) == THAW.kind,
        )


def _step_s(part: pd.DataFrame) -> float:
    """Return the median of the seconds for each step; a pause does not count."""
    known = part[["step", "wall_s"]].dropna().to_numpy(np.float64)
    steps, seconds = np.diff(known, axis=0).T if len(known) > 1 else np.zeros((2, 0))
    forward = (steps > 0) & (seconds > 0)
    return float(np.median(seconds[forward] / steps[forward])) if forward.any() else float("nan")


def _rates(points: pd.DataFrame) -> dict[str, tuple[Floats, Floats]]:
    """Return run -> steps and learning rates, of the first metric that is named like one."""
    names = sorted(name for name in points["metric"].unique() if _LR.search(str(name)))
    table = points.loc[points["metric"].isin(names), ["run", "metric", "step", "value"]]
    table = table[np.isfinite(table["value"])]
    found: dict[str, tuple[Floats, Floats]] = {}
    for (run, _), part in table.groupby(["run", "metric"], observed=True, sort=True):
        arrays = (part["step"].to_numpy(np.float64), part["value"].to_numpy(np.float64))
        found.setdefault(str(run), arrays)
    return found


def _rate_at(curve: Curve, rate: tuple[Floats, Floats] | None) -> Floats | None:
    if rate is None or not len(curve):
        return None
    ratio = rate[0][-1] / curve.steps[-1]
    if not 1 / _SAME_CLOCK <= ratio <= _SAME_CLOCK:
        return None
    return np.interp(curve.steps, *rate)
