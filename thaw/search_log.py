"""The log of a search: `search.log` in its results, a JSON object a line."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thaw.whole_lines import end_last_line

LOG = "search.log"
logger = logging.getLogger("thaw")
"""Whatever is logged below it, from any module, is in the file too."""
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|ACCESS_KEY|API_KEY")
_IN_URL = re.compile(r"(://)[^/@\s]*:[^/@\s]*@")
_SHORTEST_SECRET = 8
_FIELDS = "fields"


def log(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with fields that JSON has; `trial` and `segment` are the usual ones."""
    logger.log(level, event, extra={_FIELDS: fields})


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object: time in UTC, level, event, then the event's fields.

    What is no finite number is null. Values of environment variables whose names say that they are
    secret, and passwords in URLs, are starred.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if record.name != logger.name:
            line["from"] = record.name
        line |= {name: _plain(value) for name, value in getattr(record, _FIELDS, {}).items()}
        if record.exc_info:
            line["error"] = str(record.exc_info[1])
        starred = {name: _starred(value) for name, value in line.items()}
        return json.dumps(starred, ensure_ascii=False)


@contextmanager
def search_log(folder: Path) -> Iterator[None]:
    """Append what is logged to the log in `folder`; warnings are on stderr as well.

    That is what logging does where nobody listens, and would no longer do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end_last_line(folder / LOG)
    handler = logging.FileHandler(folder / LOG, encoding="utf-8")
    handler.setFormatter(JsonLines())
    before = logger.level
    logger.setLevel(logging.INFO)
    handlers: list[logging.Handler] = [
        handler,
        *([logging.lastResort] if logging.lastResort else []),
    ]
    for one in handlers:
        logger.addHandler(one)
    try:
        yield
    finally:
        for one in handlers:
            logger.removeHandler(one)
        logger.setLevel(before)
        handler.close()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _starred(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    for name, secret in os.environ.items():
        if len(secret) >= _SHORTEST_SECRET and _SECRET_NAME.search(name.upper()):
            value = value.replace(secret, "***")
    return _IN_URL.sub(r"\1***@", value)
