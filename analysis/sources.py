"""Log files, found and recognised, and what reading one of them gives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from analysis.part import Part
from analysis.readers import READERS, reader_of
from analysis.readers.finding import Found, find
from analysis.readers.head import Head
from analysis.readers.naming import run_name
from analysis.readers.reader import LogFile, Reader

TRIALS = frozenset({"trial", "status", "ended", "folder", "segments_trained"})
"""Columns of `trials.csv`, the table of a thaw search."""
_TRIALS_ONLY = "segments_trained"
_SEARCH = frozenset({"study", "metric", "mode", "options"})
_SEARCH_ONLY = '"options"'
_EVENTS = '"event": "search began"'
"""In the `search.log` of a thaw search, which tells of its trials once more."""
_REPORT = "thaw_report"
"""Key in the `summary.json` of a report."""
_SETTINGS = re.compile(r"param|config|args|settings|hyper", re.IGNORECASE)
MAX_STEP = 1e15
"""No training has as many steps: what is beyond it is damaged."""
_MOST_BYTES = 2**20
"""Of a file of settings."""


class Other(NamedTuple):
    """A file that is no log, and why; some of them say something about the runs beside them."""

    found: Found
    reason: str
    role: str = ""
    """`settings`, `search`, `trials`, `events`, `error` or `report`."""


@dataclass(frozen=True)
class Source:
    """A log file and its format."""

    found: Found
    reader: Reader

    @property
    def rank(self) -> int:
        """Place of the format in the table: of two logs of one run the lower one is read."""
        return READERS.index(self.reader)

    @property
    def name(self) -> str:
        """The file as it is shown."""
        return str(self.found.name)


@dataclass(frozen=True)
class Content:
    """What a file holds: the points of its runs, by their names within the file."""

    source: Source
    file: LogFile
    parts: dict[str, Part] = field(default_factory=dict)


def recognised(paths: Iterable[Path]) -> tuple[list[Source], list[Other]]:
    """Return the logs among all files in and below `paths`, and the others."""
    sources: list[Source] = []
    others: list[Other] = []
    for found in find(list(paths)):
        if found.reason:
            others.append(Other(found, found.reason))
            continue
        try:
            head = Head.of(found.path)
            role = role_of(head)
            reader = None if role else reader_of(head)
        except OSError as error:
            others.append(Other(found, f"cannot be read: {error.strerror}"))
            continue
        if reader is None:
            others.append(Other(found, head.why_unknown(), role))
        else:
            sources.append(Source(found, reader))
    return _without_reports(sources, others)


def _without_reports(
    sources: list[Source], others: list[Other]
) -> tuple[list[Source], list[Other]]:
    """Take the tables of a report that was written among the logs for what they are."""
    reports = {other.found.name.parent / "tables" for other in others if other.role == "report"}
    tables = [source for source in sources if source.found.name.parent in reports]
    others += [Other(table.found, "a table of a report of thaw") for table in tables]
    return [source for source in sources if source.found.name.parent not in reports], others


def role_of(head: Head) -> str:
    """Tell what a file that is no log says about the runs beside it, "" for nothing."""
    if head.path.name == "error.txt":
        return "error"
    if _TRIALS_ONLY in head.text and TRIALS.issubset(head.columns):
        return "trials"
    if _EVENTS in head.text:
        return "events"
    named = _SETTINGS.search(head.path.name) is not None
    if not (named or _REPORT in head.text or _SEARCH_ONLY in head.text):
        return ""
    if head.size > _MOST_BYTES or not isinstance(document := head.document, dict):
        return ""
    if _REPORT in document:
        return "report"
    if document.keys() >= _SEARCH:
        return "search"
    return "settings" if named and not reader_of(head) else ""


def read(source: Source) -> Content:
    """Read a log; where that fails, the file's `problem` says why."""
    file = LogFile(source.found.path, source.found.name)
    content = Content(source, file)
    try:
        for number, row in enumerate(source.reader.read(file), 1):
            if not abs(row.step) <= MAX_STEP:
                file.broken(number)
                continue
            if (part := content.parts.get(row.run)) is None:
                part = content.parts[row.run] = Part()
            part.add(row)
    except OSError as error:
        file.problem = f"cannot be read: {error.strerror}"
    if not file.problem and not any(part.metrics for part in content.parts.values()):
        broken = f", {file.num_broken} broken lines" if file.num_broken else ""
        file.problem = f"{source.reader.kind} without a value{broken}"
    return content


def grouped(sources: Iterable[Source]) -> dict[PurePosixPath, list[Source]]:
    """Return the logs that may belong to one run, by its name, the preferred ones first.

    Event files belong to the log that lies beside them, and those below `runs` to the Hugging
    Face state that lies beside that folder.
    """
    groups: dict[PurePosixPath, list[Source]] = {}
    beside: dict[PurePosixPath, set[PurePosixPath]] = {}
    ranked = sorted(sources, key=lambda source: (source.rank, source.name))
    for source in ranked:
        folder = source.found.name.parent
        name = run_name(source.found.name, source.reader.family)
        if source.reader.family == "events":
            near = beside.get(folder, set())
            if not near and folder.parent.name == "runs" and folder.parent.parent in groups:
                near = {folder.parent.parent}
            name = next(iter(near)) if len(near) == 1 else name
        else:
            beside.setdefault(folder, set()).add(name)
        groups.setdefault(name, []).append(source)
    return groups
