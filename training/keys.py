"""Names of states: a chain of SHA-256, so that equal beginnings have equal keys."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from training.settings import Settings

CORE_VERSION = "3"
"""Raised when a change of the core changes what a segment does to the state."""


@dataclass(frozen=True)
class Step:
    """One segment of a path: what it is called and what it does."""

    key: str
    settings: Settings


def root_key(*, task: dict[str, Any], fingerprint: str, seed: int) -> str:
    """Return the key of the state before any training.

    `task` is the task's name and configuration, `fingerprint` names the content of its data and
    starting weights.
    """
    return _digest([CORE_VERSION, task, fingerprint, seed])


def child_key(parent: str, settings: Settings) -> str:
    """Return the key of the state that `settings` make of the state `parent`."""
    return _digest([parent, settings.plain()])


def _digest(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
