"""When the heads had settled, and what unfreezing earlier or later than that went with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.unfreezing.contrast import Contrast
from analysis.unfreezing.dimensions import MOMENT, Dimension, role_of
from analysis.unfreezing.effects import against
from analysis.unfreezing.trials import Trials


@dataclass(frozen=True)
class Moment:
    """What a search says of the moment of unfreezing."""

    dimension: Dimension
    num_told: int
    """Trials whose head trained for long enough to have settled, or not to."""
    num_settled: int
    settled: float
    """Epoch after which the head had settled, the median; NaN where none did."""
    first: float
    last: float
    """The earliest and the latest of them."""
    early: Contrast
    """Finished trials that unfroze up to that epoch against those that waited longer."""


def moment_of(trials: Trials) -> Moment | None:
    """Return what is known of the moment; None where the search has no such dimension."""
    dimension = role_of(trials.dimensions, MOMENT)
    if dimension is None or not dimension.is_number:
        return None
    settled = trials.column("settled_epoch")
    until = dimension.values.to_numpy(np.float64)
    told = until >= 2
    known = settled[np.isfinite(settled)]
    middle = float(np.median(known)) if len(known) else math.nan
    return Moment(
        dimension=dimension,
        num_told=int(told.sum()),
        num_settled=len(known),
        settled=middle,
        first=float(known.min()) if len(known) else math.nan,
        last=float(known.max()) if len(known) else math.nan,
        early=against(trials, until <= middle, until > middle),
    )
