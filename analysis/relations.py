"""What two logs under one name are to each other: copies, parts of one run, or two runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np

from analysis.part import Curve, Part, last_of_each
from analysis.readers.naming import stamp
from analysis.sources import Content

_NO_LETTER = re.compile(r"[^a-z0-9]+")
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4
"""How far the same value may lie apart in two files: text logs keep four digits."""
_SAME_SHARE, _COMMON_SHARE = 0.99, 0.5
_ANEW = 1.5
"""Intervals between steps: a log whose first step is nearer to 0 begins a training."""


def _sorted(curve: Curve) -> Curve:
    places = last_of_each(curve.step)
    return curve if places is None else curve.take(places)


class Relation(Enum):
    """What a log is to the one before it."""

    COPY = "it holds nothing that the other lacks"
    LARGER = "it holds all of the other and more"
    PART = "it goes on, from a checkpoint or anew"
    OTHER = "it is another run"


@dataclass(frozen=True)
class Piece:
    """The part of a run that one file holds, ready to be compared."""

    content: Content
    part: Part
    curves: dict[str, Curve]  # by plain names, sorted by step

    @classmethod
    def of(cls, content: Content, part: Part) -> Piece:
        """Return `part` of `content`, which has points."""
        curves = {
            _NO_LETTER.sub("_", name.lower()).strip("_"): _sorted(curve)
            for name, curve in part.curves().items()
        }
        return cls(content, part, curves)

    @property
    def family(self) -> str:
        """Family of its format."""
        return self.content.source.reader.family

    @property
    def num_points(self) -> int:
        """Points of all metrics."""
        return sum(len(curve.step) for curve in self.curves.values())

    @property
    def first(self) -> float:
        """The first step."""
        return min(float(curve.step[0]) for curve in self.curves.values())

    @property
    def last(self) -> float:
        """The last step."""
        return max(float(curve.step[-1]) for curve in self.curves.values())

    @property
    def order(self) -> tuple[str, float, float, str]:
        """What parts of one run are sorted by: the time of their start, else their last step."""
        dates = [float(curve.wall_s[0]) for curve in self.curves.values()]
        start = min(dates) if self.family == "events" else 0.0
        return stamp(self.content.source.found.name), start, self.last, self.content.source.name

    @property
    def begins_anew(self) -> bool:
        """Whether training began from nothing, and not from a checkpoint."""
        densest = max(self.curves.values(), key=lambda curve: len(curve.step)).step
        gap = float(np.diff(densest).min()) if len(densest) > 1 else self.first
        return self.first <= _ANEW * gap


def relation(new: Piece, old: Piece) -> Relation:
    """Tell what `new` is to `old`, of the same name; the format of `old` is preferred."""
    same, common, shorter = _agreement(new, old)
    agree = common > 0 and same >= _SAME_SHARE * common
    if new.family != old.family:
        return Relation.COPY if agree and common >= _COMMON_SHARE * shorter else Relation.OTHER
    if agree and same >= _SAME_SHARE * new.num_points:
        return Relation.COPY
    if agree and same >= _SAME_SHARE * old.num_points:
        return Relation.LARGER
    if new.family == "hugging face":
        return Relation.PART
    return _continuation(new, old) if new.family == "openmmlab" else Relation.OTHER


def num_more(new: Piece, old: Piece) -> int:
    """Return the points of `new` at steps where `old` has none, of the metrics of both."""
    shared = new.curves.keys() & old.curves.keys()
    return sum(len(np.setdiff1d(new.curves[n].step, old.curves[n].step)) for n in shared)


def _agreement(new: Piece, old: Piece) -> tuple[int, int, int]:
    """Return the number of equal points, of common points, and of those of the shorter one.

    Points are common that have the same metric and step.
    """
    same = common = num_new = num_old = 0
    for name in new.curves.keys() & old.curves.keys():
        one, two = new.curves[name], old.curves[name]
        _, at_one, at_two = np.intersect1d(one.step, two.step, True, return_indices=True)
        equal = np.isclose(one.value[at_one], two.value[at_two], _RELATIVE, _ABSOLUTE, True)
        same, common = same + int(np.count_nonzero(equal)), common + len(at_one)
        num_new, num_old = num_new + len(one.step), num_old + len(two.step)
    return same, common, min(num_new, num_old)


def _continuation(new: Piece, old: Piece) -> Relation:
    """Tell whether a log goes on from a checkpoint of `old`, or begins anew and gets further."""
    shared = len(new.curves.keys() & old.curves.keys())
    if shared < _COMMON_SHARE * min(len(new.curves), len(old.curves)):
        return Relation.OTHER
    if new.begins_anew or new.first <= old.first:
        return Relation.PART if new.last > old.last else Relation.OTHER
    return Relation.PART
