"""Masked CRC-32C of many short byte strings at once, as TFRecord files have them.

A checksum without its start value is linear over GF(2): that of a string is the XOR of what each of
its bytes adds at its distance from the end. So tables by distance turn a batch into look-ups.
TensorBoard's own function takes a loop over bytes in Python; longer strings are left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from tensorboard.summary.writer.record_writer import masked_crc32c

_POLYNOMIAL = np.uint32(0x82F63B78)
"""Castagnoli's, its bits in reverse."""
_MASK = np.uint32(0xA282EAD8)
_LONGEST = 1024
_ONES = np.uint32(0xFFFFFFFF)
Words = npt.NDArray[np.uint32]


def masked_crcs(parts: Sequence[bytes]) -> list[int]:
    """Return the masked checksum of each of `parts`."""
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    short = (lengths > 0) & (lengths <= _LONGEST)
    found = np.zeros(len(parts), dtype=np.uint32)
    if short.any():
        chosen = [part for part, fits in zip(parts, short.tolist(), strict=True) if fits]
        found[short] = _masked(_crcs(b"".join(chosen), lengths[short]))
    for place in np.flatnonzero(~short).tolist():
        found[place] = masked_crc32c(parts[place])
    return found.tolist()


def _crcs(data: bytes, lengths: npt.NDArray[np.int64]) -> Words:
    """Return the checksum of each piece of `data`; `lengths` are those of the pieces."""
    added, of_zeros = _tables()
    ends = np.cumsum(lengths)
    distance = np.repeat(ends, lengths) - 1 - np.arange(len(data))
    found = added[distance, np.frombuffer(data, np.uint8)]
    folded: Words = np.bitwise_xor.reduceat(found, ends - lengths) ^ of_zeros[lengths]
    return folded


def _masked(crcs: Words) -> Words:
    rotated = (crcs >> np.uint32(15)) | (crcs << np.uint32(17))
    return rotated + _MASK


@cache
def _tables() -> tuple[Words, Words]:
    """Return what a byte adds, (distance from the end, byte), and the CRC of zeros, (length,)."""
    first = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        first = np.where(first & np.uint32(1), (first >> np.uint32(1)) ^ _POLYNOMIAL, first >> 1)
    first = first.astype(np.uint32)
    added = np.empty((_LONGEST, 256), dtype=np.uint32)
    of_zeros = np.empty(_LONGEST + 1, dtype=np.uint32)
    added[0], of_zeros[0] = first, _ONES
    for place in range(1, _LONGEST):
        added[place] = _shifted(added[place - 1], first)
    for length in range(1, _LONGEST + 1):
        of_zeros[length] = _shifted(of_zeros[length - 1 : length], first)[0]
    return added, of_zeros ^ _ONES


def _shifted(crcs: Words, first: Words) -> Words:
    """Return what checksums become when a zero byte follows."""
    shifted: Words = (crcs >> np.uint32(8)) ^ first[crcs & np.uint32(0xFF)]
    return shifted
