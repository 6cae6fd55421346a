"""Numbers of bytes as people write them: 20GB, 512 MiB."""

from __future__ import annotations

import re

from training.errors import UserError

UNITS: dict[str, int] = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
"""Unit -> bytes: KB, MB, GB, TB count in thousands, KiB, MiB, GiB, TiB in 1024."""

_FACTORS = {unit.lower(): factor for unit, factor in UNITS.items()}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", re.IGNORECASE | re.ASCII)


def parse_bytes(text: str, name: str) -> int:
    """Return the bytes that `text` says; raise `UserError` that calls it `name`."""
    match = _SIZE.fullmatch(text)
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise UserError(
            f"{name} {text!r}: must be a number with a unit, such as 20GB; units: "
            f"{', '.join(UNITS)}"
        )
    return round(float(match[1]) * factor)


def shown_bytes(num: int) -> str:
    """Return `num` bytes in the largest decimal unit that is not above it, in three digits."""
    for unit in ("TB", "GB", "MB", "KB"):
        if num >= UNITS[unit]:
            return f"{_three_digits(num / UNITS[unit])} {unit}"
    return f"{num} B"


def _three_digits(value: float) -> str:
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"
