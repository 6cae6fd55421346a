"""How the parts of a run become one curve for each metric.

A step that is logged twice keeps its later value: later in the file, or in the later file. Of a run
that resumed and ended earlier, what lies beyond is left out: see `analysis.abandoned`. Values that
are not finite, or beyond 1e100, become NaN; -1 in an average precision or recall means "not
measured", as COCO's tools write it, and is left out. Seconds go on over a restart, without the
pause.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.abandoned import kept
from analysis.part import Curve, Floats, Part, last_of_each

_SINCE_1970_S = 1e8
"""More seconds than that are a date, and no duration."""
_MOST_RESTARTS = 0.1
"""Of a curve's points: seconds that go back more often are no running clock."""
_PRECISION = re.compile(r"(?<![a-z])m?a[pr](?![a-z])", re.IGNORECASE)
_UNMEASURED = -1.0
_LARGEST = 1e100
"""A value beyond it has exploded: sums and squares of such are infinite."""


@dataclass
class Joined:
    """All points of a run, and what was done to make them curves."""

    curves: dict[str, Curve] = field(default_factory=dict)
    num_merged: int = 0
    num_abandoned: int = 0
    num_thinned: dict[str, int] = field(default_factory=dict)
    num_not_finite: dict[str, int] = field(default_factory=dict)
    num_unmeasured: dict[str, int] = field(default_factory=dict)


def join(parts: Sequence[Part]) -> Joined:
    """Join the parts of a run, the later ones last."""
    joined = Joined(num_merged=sum(part.num_merged for part in parts))
    pieces = [part.curves() for part in parts]
    shifts, dated = _shifts(pieces), any(map(_has_dates, pieces))
    for name in sorted({name for piece in pieces for name in piece}):
        found = [
            _shifted(piece[name], shift)
            for piece, shift in zip(pieces, shifts, strict=True)
            if name in piece
        ]
        curve = _measured(joined, name, _without_abandoned(joined, found, dated))
        if len(curve.step):
            places = last_of_each(curve.step)
            if places is not None:
                joined.num_merged += len(curve.step) - len(places)
                curve = curve.take(places)
            joined.curves[name] = _finite(
                joined, name, replace(curve, wall_s=_running(curve.wall_s))
            )
    for part in parts:
        for name, num in part.num_thinned.items():
            joined.num_thinned[name] = joined.num_thinned.get(name, 0) + num
    return joined


def _without_abandoned(joined: Joined, parts: Sequence[Curve], dated: bool) -> Curve:
    curve = parts[0] if len(parts) == 1 else Curve.joined(parts)
    places = kept(curve, [len(part.step) for part in parts], dated=dated)
    if places is None:
        return curve
    joined.num_abandoned += int(len(places) - np.count_nonzero(places))
    return curve.take(places)


def _measured(joined: Joined, name: str, curve: Curve) -> Curve:
    if not _PRECISION.search(name):
        return curve
    known = curve.value != _UNMEASURED
    if num := int(len(known) - np.count_nonzero(known)):
        joined.num_unmeasured[name] = num
        return curve.take(known)
    return curve


def _finite(joined: Joined, name: str, curve: Curve) -> Curve:
    finite = np.abs(curve.value) <= _LARGEST  # NaN is not
    if finite.all():
        return curve
    joined.num_not_finite[name] = int(len(finite) - np.count_nonzero(finite))
    return replace(curve, value=np.where(finite, curve.value, np.nan))


def _shifted(curve: Curve, shift_s: float) -> Curve:
    return replace(curve, wall_s=curve.wall_s + shift_s) if shift_s else curve


def _shifts(pieces: Sequence[dict[str, Curve]]) -> list[float]:
    """Return what to add to the seconds of each part, so that one clock runs over all.

    A date is counted from the start of its file, and parts that overlap in time share a clock. A
    duration goes on from the part before, unless it already does.
    """
    shifts: list[float] = []
    end_s, last_date = 0.0, -np.inf
    for piece in pieces:
        start, end = _range_s(piece) if len(pieces) > 1 or _has_dates(piece) else (np.nan, np.nan)
        if start > _SINCE_1970_S:
            shift = shifts[-1] if start < last_date else end_s - start
            last_date = max(last_date, end)
        else:
            shift = 0.0 if not start < end_s else end_s
        shifts.append(float(shift))
        end_s = max(end_s, end + shift) if np.isfinite(end) else end_s
    return shifts


def _has_dates(piece: dict[str, Curve]) -> bool:
    return any(curve.wall_s[-1] > _SINCE_1970_S for curve in piece.values())


def _range_s(piece: dict[str, Curve]) -> tuple[float, float]:
    """Return the first and the last second of a part, NaN where it has no clock."""
    known = [curve.wall_s[np.isfinite(curve.wall_s)] for curve in piece.values()]
    known = [seconds for seconds in known if len(seconds)]
    if not known:
        return np.nan, np.nan
    return min(float(s.min()) for s in known), max(float(s.max()) for s in known)


def _running(seconds: Floats) -> Floats:
    """Return seconds that never go back: a restart goes on where the part before it ended.

    Where they go back too often to be restarts they are no clock: all NaN.
    """
    back = seconds[1:] < seconds[:-1]
    if not back.any():
        return seconds
    if np.count_nonzero(back) > max(1, _MOST_RESTARTS * len(seconds)):
        return np.full_like(seconds, np.nan)
    lost = np.where(back, seconds[:-1] - seconds[1:], 0.0)
    running: Floats = seconds + np.concatenate([[0.0], np.cumsum(np.nan_to_num(lost))])
    return running
