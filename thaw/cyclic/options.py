"""Options of the report on cyclic training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the report looks at, and how sure it wants to be."""

    store: str | None = None
    """Store of the searches, where it is not where it was."""
    measure: Literal["points", "relative"] = "points"
    """Whether the gates take gains in points of accuracy or relative."""
    level: float = 95.0
    """Level of the intervals in per cent."""
    draws: int = 2000
    """Bootstrap draws over held-out identities."""
    seed: int = 0
    """Of the bootstrap."""
    faces: int = 6
    """Held-out people in a picture; 0 makes none."""
    max_rows: int = 100
    """Rows of a table in the report."""
