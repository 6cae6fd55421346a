"""Errors that a user can mend, told in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails


class UserError(ValueError):
    """Bad input: the message names what is wrong, where, and what is allowed.

    The command line prints it as one line and exits with code 2.
    """


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """Build the error for a name that is not among `allowed`, with the nearest one as a hint."""
    names = list(allowed)
    near = get_close_matches(name, names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return UserError(f"unknown {kind} {name!r}{hint}; allowed: {', '.join(names) or 'none'}")


def explain(error: ValidationError, where: str = "") -> UserError:
    """Turn the first finding of a pydantic validation into one line with field and value."""
    findings = error.errors(include_url=False)
    first, field = findings[0], _field(findings[0])
    place = ": ".join(part for part in (where, field) if part)
    # A list that lost its wrong items is "too short": what encloses the field says nothing new.
    others = {
        _field(f) for f in findings if not f"{field}.".startswith(f"{_field(f)}.".lstrip("."))
    }
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "missing":
        return UserError(f"{place}: required field is missing{more}")
    messages = [f["msg"].removeprefix("Value error, ") for f in findings if _field(f) == field]
    shown = "" if isinstance(first["input"], dict | list) else f", got {first['input']!r}"
    return UserError(f"{place}: {' or '.join(dict.fromkeys(messages))}{shown}{more}")


def _field(finding: ErrorDetails) -> str:
    return ".".join(str(part) for part in finding["loc"] if not _is_union_tag(part))


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and part.startswith(("function-", "literal[", "constrained-"))
