"""What values a metric can have at all, by its name and its values."""

from __future__ import annotations

import math
import re

import numpy as np

from analysis.curves import Floats
from analysis.metrics import direction, unit_of

_SIGNED = re.compile(r"loss|nll|elbo", re.IGNORECASE)


def limits_of(metric: str, values: Floats) -> tuple[float, float]:
    """Return the least and the greatest value of a metric, infinite where there is no limit.

    Qualities that are counted in points lie within 0 and 1, or 0 and 100. Errors that were never
    below 0 do not fall below it; a loss may.
    """
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() < 0:
        return -math.inf, math.inf
    unit = unit_of(metric, finite)
    if unit.name == "points":
        return 0.0, 100.0 / unit.scale
    is_error = direction(metric) == "min" and not _SIGNED.search(metric)
    return (0.0 if is_error else -math.inf), math.inf
