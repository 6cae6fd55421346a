"""The beginning of a file: enough to tell what it is."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.readers.text import DELIMITERS, clean, parse_object

_SHORT, _LONG = 2**12, 2**18
"""Bytes; the first line of MMCV's logs holds the whole configuration, hence the longer one."""
DOCUMENT_BYTES = 2**26
"""A JSON document cannot be streamed: above this size it is not read."""
_LINES, _OBJECTS = 20, 6
_MAGIC = (
    (b"SQLite format 3", "an SQLite database"),
    (b"PK\x03\x04", "a zip archive, such as a checkpoint"),
    (b"\x1f\x8b", "compressed; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed; unpack it first"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"PAR1", "a parquet file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80", "a pickle, which is never loaded"),
)


@dataclass(frozen=True)
class Head:
    """The first bytes of a file, looked at in several ways."""

    path: Path
    size: int
    data: bytes

    @classmethod
    def of(cls, path: Path) -> Head:
        """Read the beginning of `path`; raise `OSError` where it cannot be read."""
        with path.open("rb") as file:
            data = file.read(_SHORT)
            if len(data) == _SHORT and data.count(b"\n") < 2:
                data += file.read(_LONG)
            size = file.seek(0, 2)
        return cls(path, size, data)

    @cached_property
    def text(self) -> str:
        """The beginning as text, "" for binary data."""
        if b"\0" in self.data or self.data.startswith(b"\x80"):
            return ""
        return self.data.decode("utf-8-sig", errors="replace")

    @cached_property
    def lines(self) -> list[str]:
        """The first complete lines that are not blank."""
        whole = len(self.data) == self.size
        text = self.text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.split("\n")[: None if whole else -1]
        return [line for line in lines if line.strip()][:_LINES]

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects among the first lines, none unless most lines are one."""
        if not self.text.lstrip().startswith("{") and '{"' not in self.text:
            return []
        lines = self.lines[:_OBJECTS]
        begun = [line for line in lines if line.lstrip().startswith("{")]
        found = [item for item in map(parse_object, begun) if item is not None]
        return found if 2 * len(found) >= len(lines) else []

    @cached_property
    def document(self) -> Any:
        """The file as one JSON document, None where it is none."""
        if self.text.lstrip()[:1] not in ("{", "[") or len(self.objects) > 1:
            return None
        if self.size > DOCUMENT_BYTES:
            return None
        return load_document(self.path)

    @cached_property
    def delimiter(self) -> str:
        """What stands between the cells of a table."""
        line = self._header_line
        return max(DELIMITERS, key=line.count)

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns of a table, stripped; none where the first line is no header."""
        if self.delimiter not in self._header_line and len(self._header_line) > 200:
            return []
        try:
            return [
                clean(cell)
                for cell in next(csv.reader([self._header_line], delimiter=self.delimiter), [])
            ]
        except csv.Error:
            return []

    @cached_property
    def _header_line(self) -> str:
        lines = [line for line in self.lines if not line.startswith("#")]
        return lines[0] if lines and lines[0].lstrip()[:1] not in ("{", "[") else ""

    def why_unknown(self) -> str:
        """Say why a file that no reader takes is not used."""
        if not self.size:
            return "empty"
        for start, reason in _MAGIC:
            if self.data.startswith(start):
                return reason
        if not self.text.strip("\ufeff \t\r\n"):
            return "binary data" if b"\0" in self.data else "only blank lines"
        if self.text.lstrip()[:1] in ("{", "["):
            return self._why_no_json()
        if len(self.columns) > 1 and len(self.lines) == 1:
            return "a table without rows"
        if len(self.columns) > 1 and _is_rectangle(self.lines, self.delimiter):
            return "a table without a column of steps or epochs and a column of numbers"
        return "text that is no log we know"

    def _why_no_json(self) -> str:
        if len(self.objects) > 1:
            return "JSON lines without steps or epochs"
        if self.size > DOCUMENT_BYTES:
            return f"one JSON document of {self.size / 2**20:.0f} MiB: too large to be read at once"
        return "JSON that is cut off or damaged" if self.document is None else "JSON that is no log"


def _is_rectangle(lines: list[str], delimiter: str) -> bool:
    return lines[0].count(delimiter) == lines[1].count(delimiter)


def load_document(path: Path) -> Any:
    """Return the JSON document in `path`, None where it is none or is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig", errors="replace"))
    except (ValueError, RecursionError):
        return None
