"""Lines of text files, JSON in lines, and numbers: whatever a file holds, none of these raises."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

MAX_LINE = 2**24
"""Characters; a longer line is broken, and never held in memory."""
_decode = json.JSONDecoder().raw_decode
DELIMITERS = (",", ";", "\t")
_MAX_DEPTH = 8


def lines(path: Path) -> Iterator[str]:
    """Yield each line; "\\0" stands for one that is too long."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        if path.stat().st_size < MAX_LINE:
            yield from file
            return
        while line := file.readline(MAX_LINE):
            if len(line) == MAX_LINE and not line.endswith("\n"):
                _skip_line(file)
                line = "\0"
            yield line


def _skip_line(file: IO[str]) -> None:
    while (rest := file.readline(MAX_LINE)) and not rest.endswith("\n"):
        pass


def parse_object(line: str) -> dict[str, Any] | None:
    """Return the JSON object in `line`, None where it is something else."""
    text = line if line[:1] == "{" else line.lstrip()
    try:
        found, end = _decode(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and not text[end:].strip() else None


def number(value: Any) -> float | None:
    """Return a JSON number as a float; None for anything else."""
    return real(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def real(value: float) -> float:
    """Return a number as a float, infinite where it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def flat(item: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested objects, their names joined by "/" as Ray Tune does."""
    for name, value in item.items():
        if isinstance(value, dict):
            if depth < _MAX_DEPTH:
                yield from (
                    (f"{clean(name)}/{below}", leaf) for below, leaf in flat(value, depth + 1)
                )
        else:
            yield clean(name), value


def words(text: str) -> tuple[str, ...]:
    """Return the words of a list that is written as one text."""
    return tuple(text.split())


def clean(name: str) -> str:
    """Return a name without space around it, of characters that can be printed."""
    name = name.strip()
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
