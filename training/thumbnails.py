"""Predicted masks of a few fixed images, small enough for the record of every segment."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.confusion import Rows

PREDICTIONS = "predictions"
"""Name of the total in which a task draws; in a record it has the prefix `val_`."""
_NUM_SHOWN = 4
_MOST_PX = 48
_LEVELS = 15
"""Of a pixel, besides 0: one hexadecimal digit."""


def shown(num: int) -> list[int]:
    """Return which of `num` images are drawn: four that lie evenly among them, or all of fewer."""
    count = min(num, _NUM_SHOWN)
    return [place * num // count for place in range(count)]


def blank(num: int, size: int, device: torch.device) -> Tensor:
    """Return the empty drawings of `num` images of `size` px: (K, P, P), P at most 48."""
    side = min(size, _MOST_PX)
    return torch.zeros(len(shown(num)), side, side, device=device)


def drawn(predicted: Tensor, chosen: Tensor, places: Tensor, side: int) -> Tensor:
    """Return the drawings of those of a batch that are shown, 0 for the others: (K, side, side).

    `predicted` is (B, 1, S, S) in [0, 1], `chosen` (B,) says which images they are, `places` (K,)
    which are shown. Whole numbers from 0 to 15, which add up over batches and ranks; what is no
    number is drawn black. Does not synchronise.
    """
    known = predicted.nan_to_num(0)  # else one image spoils all, and no whole number is left
    small = F.interpolate(known, (side, side), mode="bilinear", antialias=True)
    levels = (small * _LEVELS).round().flatten(1)
    mine = (places[:, None] == chosen[None, :]).to(levels.dtype)
    return torch.matmul(mine, levels).view(-1, side, side)


def packed(drawings: Tensor) -> Rows:
    """Return the rows that a record keeps of drawings (K, P, P): P numbers of P digits for each."""
    return [
        [int("".join(f"{level:x}" for level in line), 16) for line in drawing]
        for drawing in drawings.tolist()
    ]


def unpacked(rows: Rows) -> np.ndarray:
    """Return the drawings in the rows of a record, (K, P, P) uint8, black to white."""
    text = "".join(f"{line:0{len(lines)}x}" for lines in rows for line in lines)
    side = len(rows[0])
    levels = np.array([int(digit, 16) for digit in text], np.uint8).reshape(-1, side, side)
    return levels * np.uint8(255 // _LEVELS)
