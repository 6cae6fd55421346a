"""Points of training that was given up: a run that resumed from a checkpoint and ended before them.

A log in which the steps go back to repeat what is there, in their order, tells of such a run. Only
the metric itself says so: another may be logged by epoch, or by another process. Where the steps go
back often the log is not in order, or several processes write to it, and nothing is given up; nor
where they go back in time as well, by a date: then two processes ran side by side. A part that
repeats a single step, such as an evaluation that was made again, gives nothing up either.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analysis.part import Curve

Flags = npt.NDArray[np.bool_]
_MOST_RESTARTS = 0.1
"""Of a curve's points: steps that go back more often are in no order."""


def kept(curve: Curve, lengths: Sequence[int], *, dated: bool) -> Flags | None:
    """Tell which points of a curve count, in the order of its log; None where these are all.

    It is made of parts of these `lengths`. Steps that are repeated count here each time. `dated`
    tells whether its seconds are dates: durations begin again with a restart.
    """
    back = np.flatnonzero(curve.step[1:] < curve.step[:-1]) + 1
    if not len(back) or len(back) > max(1, _MOST_RESTARTS * len(curve.step)):
        return None
    starts = np.union1d(back, np.cumsum(lengths))
    found = np.full(len(curve.step), True)
    for start, end in pairwise(starts.tolist()):
        again = curve.step[start:end]
        beyond = found[:start] & (curve.step[:start] >= again[0])
        aside = dated and curve.wall_s[start] < curve.wall_s[start - 1]
        if not aside and _repeats(again, curve.step[:start][beyond]):
            found[:start] &= curve.step[:start] <= again[-1]
    return None if found.all() else found


def _repeats(steps: npt.NDArray[np.float64], earlier: npt.NDArray[np.float64]) -> bool:
    return bool(steps[-1] > steps[0] and np.isin(steps, earlier).all())
