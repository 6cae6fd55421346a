"""`--set key=value`: a field of the task, or a dimension that is pinned to one value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from search_spaces.dimensions import Dimension
from trainables.systems import system
from training.errors import UserError, unknown


def split_overrides(
    system_name: str, dimensions: Sequence[Dimension], pairs: Sequence[str], data: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (task fields, pinned dimensions) from `key=value` texts and `--data`.

    Raises `UserError` for an unknown key, a key given twice and a value that is not allowed.
    """
    named = {dimension.name: dimension for dimension in dimensions}
    settings = system(system_name).Settings
    fields = settings.model_fields
    task: dict[str, Any] = {} if data is None else {"data": data}
    pinned: dict[str, Any] = {}
    for key, value in read_pairs("--set", pairs).items():
        if key in task:
            raise UserError(f"--set {key}: given twice")
        if key in named:
            pinned[key] = named[key].accept(value)
        elif key in fields:
            task[key] = value
        else:
            raise unknown("key in --set:", key, (*named, *fields))
    settings.parse(task, "--set")
    return task, pinned


def read_pairs(option: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` texts; raise `UserError` for a key given twice or a text without `=`."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UserError(f"{option} {pair!r}: must be key=value")
        if key in found:
            raise UserError(f"{option} {key}: given twice")
        found[key] = _value(text)
    return found


def read_labels(pairs: Sequence[str] | None) -> dict[str, str]:
    """Read `--worker-label key=value` texts; values stay text, as Ray's labels are."""
    found = {pair.partition("=")[0]: pair.partition("=")[2] for pair in pairs or ()}
    for key, value in found.items():
        if not key or not value:
            raise UserError(f"--worker-label {key}{'=' * bool(key)}: must be key=value")
    return found


def _value(text: str) -> Any:
    """Read numbers, true, false, null, lists and tables as JSON; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
