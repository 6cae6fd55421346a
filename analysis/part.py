"""Points of one run from one file, in compact columns, thinned where there are too many."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.readers.reader import Row

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64] | npt.NDArray[np.bool_]
MAX_POINTS = 2**18
"""For each metric of a file: of more, those on an even grid of steps are kept, and the last."""
_CHECK_ROWS = 2**16


@dataclass(frozen=True)
class Curve:
    """One metric of a run; all columns have one length."""

    step: Floats
    epoch: Floats
    wall_s: Floats
    value: Floats

    def take(self, places: Places) -> Curve:
        """Return the points at `places`."""
        return Curve(self.step[places], self.epoch[places], self.wall_s[places], self.value[places])

    @classmethod
    def joined(cls, curves: Iterable[Curve]) -> Curve:
        """Return the points of all `curves`, one after another."""
        columns = zip(*(vars(curve).values() for curve in curves), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


def last_of_each(steps: Floats) -> npt.NDArray[np.int64] | None:
    """Return the places of the last of each step, sorted by step; None where these are all."""
    if (steps[1:] > steps[:-1]).all():
        return None
    order = np.argsort(steps, kind="stable")
    found = steps[order]
    places: npt.NDArray[np.int64] = order[np.append(found[1:] != found[:-1], True)]
    return places


class _Block:
    """Rows that have the same metrics."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.num_merged = 0
        self.num_thinned = 0
        self.step, self.epoch, self.wall_s = array("d"), array("d"), array("d")
        self.row = array("d")
        """Place in the file, by which rows of several blocks are brought in order."""
        self.values = array("d")  # row after row
        self._grid = (0.0, 1.0, 0)

    def thin(self, most: int) -> None:
        """Keep the rows on a grid of steps, `most` at most, and the last one.

        The grid stays the same or gets coarser, so that a restart that repeats steps meets it.
        """
        columns = [np.array(column) for column in self._columns()]
        values = np.array(self.values).reshape(-1, len(self.names))
        step = columns[0]
        if (places := last_of_each(step)) is not None:
            self.num_merged += len(self.names) * (len(step) - len(places))
            columns, values, step = [c[places] for c in columns], values[places], step[places]
        kept = self._on_grid(step, most)
        self.num_thinned += int(len(kept) - np.count_nonzero(kept))
        for column, array_of in zip(columns, self._columns(), strict=True):
            _refill(array_of, column[kept])
        _refill(self.values, values[kept].ravel())

    def is_thinned(self) -> bool:
        """Whether rows lie on a grid."""
        return self._grid[2] > 0

    def curves(self) -> tuple[Floats, dict[str, Curve]]:
        """Return the places of the rows in the file, and the points of each metric."""
        step, epoch, wall_s, row = (np.frombuffer(column) for column in self._columns())
        values = np.frombuffer(self.values).reshape(-1, len(self.names))
        return row, {
            name: Curve(step, epoch, wall_s, values[:, place])
            for place, name in enumerate(self.names)
        }

    def _columns(self) -> tuple[array[float], ...]:
        return self.step, self.epoch, self.wall_s, self.row

    def _on_grid(self, step: Floats, most: int) -> npt.NDArray[np.bool_]:
        if not self.is_thinned():
            self._grid = (
                float(step[0]),
                float(np.median(np.diff(step))) if len(step) > 1 else 1.0,
                1,
            )
        origin, unit, stride = self._grid
        place = np.floor((step - origin) / unit + 0.5)
        kept: npt.NDArray[np.bool_] = place % stride == 0
        while np.count_nonzero(kept) > most and stride < 2**40:
            stride *= 2
            kept = place % stride == 0
        kept[-1] = True
        self._grid = origin, unit, stride
        return kept


def _refill(column: array[float], values: Floats) -> None:
    del column[:]
    column.frombytes(np.ascontiguousarray(values).tobytes())


class Part:
    """What one file says of a run, in the order of the file."""

    def __init__(self) -> None:
        """Start without any point."""
        self._num_rows = 0
        self._blocks: dict[tuple[str, ...], _Block] = {}

    def add(self, row: Row) -> None:
        """Take in the values at one step."""
        values = row.values
        names = tuple(values)
        if (block := self._blocks.get(names)) is None:
            if not names:
                return
            block = self._blocks[names] = _Block(names)
        block.step.append(row.step)
        block.epoch.append(row.epoch)
        block.wall_s.append(row.wall_s)
        block.row.append(self._num_rows)
        block.values.extend(values.values())
        self._num_rows += 1
        if self._num_rows % _CHECK_ROWS == 0:
            self._check()

    def _check(self) -> None:
        for block in self._blocks.values():
            if len(block.step) > MAX_POINTS:
                block.thin(MAX_POINTS // 2)

    @property
    def metrics(self) -> frozenset[str]:
        """Names of the metrics that have a point."""
        return frozenset(name for names in self._blocks for name in names)

    @property
    def num_merged(self) -> int:
        """Points whose step came again, as far as thinning has met them."""
        return sum(block.num_merged for block in self._blocks.values())

    @property
    def num_thinned(self) -> dict[str, int]:
        """Metric -> points that were left out, for those of which some were."""
        found: dict[str, int] = {}
        for block in self._blocks.values():
            for name in block.names if block.num_thinned else ():
                found[name] = found.get(name, 0) + block.num_thinned
        return found

    def curves(self) -> dict[str, Curve]:
        """Return the points of each metric, in the order of the file; nothing is added after it."""
        pieces: dict[str, list[tuple[Floats, Curve]]] = {}
        for block in self._blocks.values():
            if block.is_thinned() or len(block.step) > MAX_POINTS:
                block.thin(MAX_POINTS)
            row, curves = block.curves()
            for name, curve in curves.items():
                pieces.setdefault(name, []).append((row, curve))
        return {name: _in_order(found) for name, found in pieces.items()}


def _in_order(pieces: list[tuple[Floats, Curve]]) -> Curve:
    if len(pieces) == 1:
        return pieces[0][1]
    order = np.argsort(np.concatenate([row for row, _ in pieces]), kind="stable")
    return Curve.joined(curve for _, curve in pieces).take(order)
