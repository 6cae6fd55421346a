"""Options of a report: fields of a frozen dataclass, each with its help and how to read it.

The command line is made from them, so this file imports nothing that is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Option:
    """What the command line says of a field."""

    name: str
    help: str
    metavar: str
    read: Callable[[str], Any]
    """Text -> value; raises `ValueError` that says what is allowed."""


def option(default: Any, help: str, metavar: str, read: Callable[[str], Any] = str) -> Any:
    """Return a dataclass field that the command line offers under its name."""
    return field(default=default, metadata={"help": help, "metavar": metavar, "read": read})


def options_of(kind: type) -> tuple[Option, ...]:
    """Return the options of a dataclass whose fields were made by `option`."""
    return tuple(Option(f.name, **f.metadata) for f in fields(kind))


def whole(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` up."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise ValueError(f"must be a whole number, at least {least}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """Return a reader of numbers in a closed range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise ValueError(f"must be a number, {least:g} .. {most:g}")
        return value

    return read


def percents(text: str) -> tuple[float, ...]:
    """Read a list of shares in per cent, such as 60,92,100."""
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if not shares or not all(0 < share <= 100 for share in shares):
        raise ValueError("must be shares in per cent, such as 60,92,100")
    if list(shares) != sorted(set(shares)):
        raise ValueError("must rise from each share to the next")
    return shares


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a reader of one of some words."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"allowed: {', '.join(allowed)}")
        return text

    return read


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise ValueError("must be names with commas between them")
    return found
