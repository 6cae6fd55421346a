"""URLs of SQLite databases, whose path may be relative."""

from __future__ import annotations

import re
from pathlib import Path

_FILE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!:memory:|file:)([^?]+)(.*)")


def absolute_sqlite(url: str) -> str:
    """Return the URL of an SQLite file with its path from the root, and any other as it is."""
    found = _FILE.fullmatch(url)
    return url if found is None else f"{found[1]}{Path(found[2]).absolute()}{found[3]}"
