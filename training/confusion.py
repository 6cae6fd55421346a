"""Confusion counts: which class was taken for which, added up on the device and kept small."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CONFUSION = "confusion"
"""Name of the total in which a task counts; in a record it has the prefix `val_`."""
MOST_CLASSES = 2000
"""A table of more classes is not counted: it grows with their square."""
OTHERS = -1
"""Stands for all classes that are not kept one by one."""
_MOST_PAIRS = 256

Rows = list[list[int]]
"""[true class, predicted class, number of examples], sorted; what is not there is 0."""


def counted(
    labels: Tensor, predicted: Tensor, num_classes: int, num_rows: int | None = None
) -> Tensor:
    """Return how often each class was taken for each: (true, predicted), int64 on the device.

    `labels` and `predicted` are (B,) int64; labels below `num_rows`, which is `num_classes` where
    it is not given. Does not synchronise.
    """
    rows = num_classes if num_rows is None else num_rows
    table = torch.zeros(rows * num_classes, dtype=torch.int64, device=labels.device)
    table.scatter_add_(0, labels * num_classes + predicted, torch.ones_like(labels))
    return table.view(rows, num_classes)


def kept(table: Tensor) -> Rows:
    """Return the rows that a record keeps of a table (true, predicted) on the host.

    All right answers, and the 256 pairs that are confused most: all of them for up to 16 classes.
    What else was wrong in a class is one row with `OTHERS`, so that the rows of a class add up to
    its examples.
    """
    right = table.diagonal()
    wrong = table - torch.diag(right)
    places = wrong.flatten().nonzero().flatten()
    counts = wrong.flatten()[places]
    order = torch.argsort(counts, descending=True, stable=True)[:_MOST_PAIRS]
    pairs = torch.stack([places // len(table), places % len(table), counts], dim=1)[order]
    rest = wrong.sum(1).scatter_add(0, pairs[:, 0], -pairs[:, 2])
    rows = [[at, at, num] for at, num in enumerate(right.tolist()) if num]
    rows += [[at, OTHERS, num] for at, num in enumerate(rest.tolist()) if num]
    return sorted(rows + pairs.tolist())


@dataclass(frozen=True)
class Confusion:
    """The confusion counts of one evaluation."""

    rows: tuple[tuple[int, int, int], ...]
    """(true class, predicted class or `OTHERS`, number of examples)."""

    @classmethod
    def of(cls, rows: Rows) -> Confusion:
        """Return the counts in the rows of a record."""
        return cls(tuple((true, predicted, num) for true, predicted, num in rows))

    @property
    def num_classes(self) -> int:
        """One more than the largest class that is mentioned."""
        return 1 + max((max(true, predicted) for true, predicted, _ in self.rows), default=-1)

    def num(self) -> dict[int, int]:
        """Return class -> number of its examples, for those that have any."""
        found: dict[int, int] = {}
        for true, _, num in self.rows:
            found[true] = found.get(true, 0) + num
        return found

    def recall(self) -> dict[int, float]:
        """Return class -> share of its examples that were recognised, in [0, 1]."""
        right = {true: num for true, predicted, num in self.rows if true == predicted}
        return {true: right.get(true, 0) / num for true, num in self.num().items()}

    def confused(self) -> list[tuple[int, int, int]]:
        """Return (true, predicted, number) of the wrong answers, the most frequent first."""
        wrong = [row for row in self.rows if row[1] not in (row[0], OTHERS)]
        return sorted(wrong, key=lambda row: (-row[2], row[0], row[1]))
