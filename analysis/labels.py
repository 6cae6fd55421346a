"""Labels of runs: from their names by a pattern, or from a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

Labels = dict[str, dict[str, str]]
"""Label -> run -> value."""


class LabelError(ValueError):
    """A pattern or a table that cannot be used; the message says why."""


def from_pattern(runs: Sequence[str], pattern: str) -> Labels:
    """Return the labels of runs whose names begin like `pattern`, such as `{strategy}/{model}`.

    A name in braces stands for text within one part of the path, `*` for text without a name; what
    follows the pattern in a run's name does not matter. Raises `LabelError` where the pattern names
    nothing, or fits no run.
    """
    expression, names = _compiled(pattern)
    labels: Labels = {name: {} for name in names}
    for run in runs:
        if found := expression.match(run):
            for name, value in zip(names, found.groups(), strict=True):
                labels[name][run] = value
    if not any(labels.values()):
        example = f", such as {runs[0]!r}" if runs else ""
        raise LabelError(
            f"labels {pattern!r}: the pattern fits none of the {len(runs)} runs{example}"
        )
    return labels


def _compiled(pattern: str) -> tuple[re.Pattern[str], list[str]]:
    pieces = re.split(r"\{([^{}/]*)\}", pattern.strip("/"))
    names, texts = pieces[1::2], pieces[::2]
    if not names or any(not name.strip() for name in names) or len(set(names)) < len(names):
        raise LabelError(
            f"labels {pattern!r}: needs names in braces, each once: {{strategy}}/{{model}}"
        )
    if any("{" in text or "}" in text for text in texts):
        raise LabelError(f"labels {pattern!r}: a brace without its other half")
    fixed = ["[^/]*".join(map(re.escape, text.split("*"))) for text in texts]
    return re.compile("([^/]+?)".join(fixed) + "(?:/|$)"), names


def from_table(runs: Sequence[str], table: Path) -> Labels:
    """Return the labels in a CSV file with a column `run` and one for each label.

    A run is named in full, or by the end of its path where that is the end of one run only.
    Raises `LabelError` where the file is no such table, or names none of the runs.
    """
    rows, names = _rows(table)
    full, labels = _full_names(runs), {name: dict[str, str]() for name in names}
    for row in rows:
        run = full.get((row["run"] or "").strip().strip("/"))
        if run is not None:
            for name in names:
                labels[name][run] = (row[name] or "").strip()
    if not any(labels.values()):
        example = f", such as {runs[0]!r}" if runs else ""
        raise LabelError(f"{table}: names none of the {len(runs)} runs{example}")
    return labels


def _rows(table: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [str(name).strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = list(reader)
    except OSError as error:
        raise LabelError(f"{table}: cannot be read: {error.strerror}") from None
    except csv.Error as error:
        raise LabelError(f"{table}: is no table ({error})") from None
    names = [name for name in columns if name not in ("run", "")]
    if "run" not in columns or not names:
        raise LabelError(f"{table}: needs a column `run` and one for each label, has {columns}")
    return rows, names


def _full_names(runs: Sequence[str]) -> dict[str, str]:
    """Return name or end of a path -> run, without the ends that several runs have."""
    found: dict[str, str | None] = {}
    for run in runs:
        parts = run.split("/")
        for start in range(1, len(parts)):
            end = "/".join(parts[start:])
            found[end] = None if end in found else run
    return {end: run for end, run in found.items() if run is not None} | {run: run for run in runs}
