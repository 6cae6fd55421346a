"""Hyperparameters and endings of runs, from the files that lie beside their logs."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from analysis.grouping import Run
from analysis.readers.head import load_document
from analysis.readers.objects import parameters
from analysis.readers.reader import Parameter
from analysis.readers.text import clean
from analysis.sources import Other

_NO_PARAMETER = re.compile(
    r"(best|last)_.*|trial|epochs|segments_.*|device_s|cost_s|status|ended|folder"
)
"""Columns of `trials.csv` that say how a trial went."""


@dataclass
class Facts:
    """What is known of a run besides its points."""

    folder: PurePosixPath
    files: list[str]
    status: str = ""
    params: dict[str, Parameter] = field(default_factory=dict)
    """What files beside the log say, or else the log itself."""
    logged: dict[str, Parameter] = field(default_factory=dict)
    stages: tuple[tuple[str, int], ...] = ()
    """(stage, its epochs) in their order; none where the log does not name stages."""


def facts_of(run: Run) -> Facts:
    """Return what the log files of a run say themselves; later files go before earlier ones."""
    facts = Facts(run.contents[0].source.found.name.parent, [])
    for content in run.contents:
        folder = content.source.found.name.parent
        facts.files += [
            content.source.name,
            *(str(folder / name) for name in sorted(content.file.beside)),
        ]
        facts.status = content.file.status or facts.status
        facts.logged.update(content.file.params)
        facts.stages = tuple(content.file.stages) or facts.stages
    facts.files += [source.name for source, _ in run.copies]
    return facts


def attach(runs: Sequence[Facts], others: Iterable[Other]) -> list[Other]:
    """Give runs what the files beside them say; return the files that said nothing of any run."""
    by_folder: dict[PurePosixPath, list[Facts]] = {}
    for facts in runs:
        by_folder.setdefault(facts.folder, []).append(facts)
    named = {file for facts in runs for file in facts.files}
    rest = [other for other in others if str(other.found.name) not in named]
    silent = [other for other in rest if not _said(other, by_folder)]
    for facts in runs:
        facts.params = facts.params or facts.logged
    return silent


def _said(other: Other, runs: dict[PurePosixPath, list[Facts]]) -> bool:
    """Take in one file; tell whether it was of use."""
    folder, near = other.found.name.parent, runs.get(other.found.name.parent, [])
    if other.role == "trials":
        return _trials(other.found.path, folder, runs)
    if other.role == "search":
        return any(path.parent == folder for path in runs)
    if other.role == "error" and len(near) == 1:
        near[0].status = "failed" if near[0].status in ("", "running") else near[0].status
    elif other.role == "settings" and len(near) == 1:
        near[0].params |= parameters(load_document(other.found.path) or {})
    else:
        return False
    near[0].files.append(str(other.found.name))
    return True


def _trials(path: Path, folder: PurePosixPath, runs: dict[PurePosixPath, list[Facts]]) -> bool:
    """Take in the table of a thaw search: why each trial ended, and its parameters."""
    useful = False
    for row in _rows(path):
        for facts in runs.get(folder / clean(row.get("folder") or ""), []):
            useful = True
            facts.status = row.get("status") or facts.status
            facts.params |= {
                clean(name): _parsed(value)
                for name, value in row.items()
                if name and value and not _NO_PARAMETER.fullmatch(name)
            }
    return useful


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            return list(csv.DictReader(file))
    except (OSError, csv.Error):
        return []


def _parsed(text: str) -> Parameter:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, str | float | int) else text


def end_of_trials(runs: Iterable[tuple[Facts, float]]) -> int:
    """Tell stopped trials of Ray Tune from finished ones; return the number of stopped ones.

    Takes runs with their last steps. Tune marks a trial as done whoever ended it: one that ended
    before the longest done trial of its experiment counts as stopped.
    """
    done = [(facts, last) for facts, last in runs if facts.status == "done"]
    longest: dict[PurePosixPath, float] = {}
    for facts, last in done:
        longest[facts.folder.parent] = max(last, longest.get(facts.folder.parent, last))
    for facts, last in done:
        facts.status = "finished" if last >= longest[facts.folder.parent] else "stopped"
    return sum(facts.status == "stopped" for facts, _ in done)
