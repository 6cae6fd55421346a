"""Logs of any kind as one tidy table of points, one of runs, and a list of what was not used."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.grouping import Run, read_group
from analysis.labels import LabelError, Labels, from_pattern, from_table
from analysis.merging import Joined, join
from analysis.notes import Notes
from analysis.parameters import Facts, attach, end_of_trials, facts_of
from analysis.points import Points
from analysis.sources import Other, grouped, recognised


@dataclass(frozen=True)
class Unused:
    """A file that gave no points, and why."""

    file: str
    """Relative to the folder that was read."""
    reason: str


@dataclass(frozen=True)
class Logs:
    """Points of all runs, and what was not used."""

    points: pd.DataFrame
    """Columns: run (category), step, epoch (NaN where unknown), wall_s (seconds since the start,
    NaN where unknown), metric (category), value (NaN where it was not finite). Sorted by run,
    metric and step, with one row for each of these."""
    runs: pd.DataFrame
    """Index: run. Columns: kind, files (joined by "; "), merged_points, broken_lines, status (as
    far as the log says: finished, stopped, diverged, failed, interrupted, running, or ""), stages
    (tuples (stage, its epochs), of logs that name them), and one for each label, `label:NAME`, and
    hyperparameter, `param:NAME`."""
    unused: tuple[Unused, ...]
    notes: tuple[str, ...]
    """What was merged, which lines were broken, what does not fit together: a sentence each."""


class LogError(Exception):
    """Bad input: one line that says what is wrong with which file."""


def read_logs(
    paths: Sequence[Path], *, labels: str | None = None, table: Path | None = None
) -> Logs:
    """Read all logs in and below `paths`; the kind of a file is recognised by its content.

    `labels` is a pattern for the names of the runs, such as `{strategy}/{dataset}/{model}`;
    `table` a CSV file with a column `run` and one for each label, which goes before the pattern.
    Raises `LogError` where a path does not exist, no file is a log, or the labels fit no run.
    """
    _check(paths)
    sources, others = recognised(paths)
    points, notes, known = Points(), Notes(), dict[str, _Known]()
    for place, found in sorted(grouped(sources).items()):
        group = read_group(place, found)
        others += [Other(source.found, problem) for source, problem in group.failed]
        for run in group.runs:
            joined = join(run.parts)
            if not joined.curves:
                others += [Other(c.source.found, "no value was measured") for c in run.contents]
                continue
            name = _unique(run.name, known)
            known[name] = _Known.of(run, joined)
            points.add(name, joined.curves)
            notes.add(name, run, joined)
    facts = {name: entry.facts for name, entry in known.items()}
    others = attach(list(facts.values()), others)
    stopped = end_of_trials([(entry.facts, entry.last_step) for entry in known.values()])
    if not known:
        raise LogError(_nothing(paths, others))
    found_labels = _labels(sorted(known), labels, table)
    said = [*notes.sentences(), *_about_tune(stopped), *_about_labels(found_labels, len(known))]
    return Logs(
        points.frame(),
        _runs(known, found_labels),
        tuple(Unused(str(other.found.name), other.reason) for other in others),
        tuple(said),
    )


def _check(paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            why = (
                "no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror
            )
            raise LogError(f"{path}: {why}") from None


@dataclass(frozen=True)
class _Known:
    """What the table of runs says of one."""

    kind: str
    facts: Facts
    num_merged: int
    num_broken: int
    last_step: float

    @classmethod
    def of(cls, run: Run, joined: Joined) -> _Known:
        last = max(float(curve.step[-1]) for curve in joined.curves.values())
        broken = sum(content.file.num_broken for content in run.contents)
        kind = run.contents[0].source.reader.kind
        return cls(kind, facts_of(run), joined.num_merged, broken, last)


def _unique(name: str, taken: Container[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}#{number}"
    return found


def _nothing(paths: Sequence[Path], others: Sequence[Other]) -> str:
    where = ", ".join(map(str, paths)) or "no path given"
    if not others:
        return f"{where}: no file in it"
    more = f", and {len(others) - 1} files more" if len(others) > 1 else ""
    return f"{where}: no log we know; {others[0].found.name}: {others[0].reason}{more}"


def _labels(runs: Sequence[str], pattern: str | None, table: Path | None) -> Labels:
    try:
        found = from_pattern(runs, pattern) if pattern is not None else {}
        for name, values in (from_table(runs, table) if table is not None else {}).items():
            found[name] = found.get(name, {}) | values
    except LabelError as error:
        raise LogError(str(error)) from None
    return found


def _about_labels(labels: Labels, num_runs: int) -> Iterator[str]:
    for name, values in labels.items():
        if missing := num_runs - len(values):
            yield f"{missing:,} of {num_runs:,} runs have no label {name}."


def _about_tune(num_stopped: int) -> Iterator[str]:
    if num_stopped:
        yield (
            f"Ray Tune does not say why a trial ended: {num_stopped:,} that ended before the "
            "longest of their experiment count as stopped."
        )


def _runs(known: Mapping[str, _Known], labels: Labels) -> pd.DataFrame:
    names = sorted(known)
    entries = [known[name] for name in names]
    table: dict[str, list[Any]] = {
        "kind": [entry.kind for entry in entries],
        "files": ["; ".join(entry.facts.files) for entry in entries],
        "merged_points": [entry.num_merged for entry in entries],
        "broken_lines": [entry.num_broken for entry in entries],
        "status": [entry.facts.status for entry in entries],
    }
    if any(entry.facts.stages for entry in entries):
        table["stages"] = [entry.facts.stages for entry in entries]
    for label, values in labels.items():
        table[f"label:{label}"] = [values.get(name, "") for name in names]
    for param in dict.fromkeys(name for entry in entries for name in entry.facts.params):
        table[f"param:{param}"] = [entry.facts.params.get(param) for entry in entries]
    return pd.DataFrame(table, index=pd.Index(names, name="run", dtype="str"))
