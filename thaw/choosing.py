"""Which trials of a search are meant: by rank or by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thaw.preparing import prepare
from thaw.reading import SEARCH, TABLE
from thaw.results import SCHEDULE, read_search
from trainables.spec import TrialSpec
from trainables.systems import system
from training.errors import UserError


@dataclass(frozen=True)
class Chosen:
    """A trial of an earlier search."""

    name: str
    spec: TrialSpec
    best: float
    """Best value of the search's metric."""
    epochs: int


def choose(folder: Path, which: str) -> tuple[dict[str, Any], list[Chosen]]:
    """Return what was searched, and the trials that `which` names, best first.

    `which` is `best:3`, or names such as `0007,0011`. Raises `UserError` for a trial that is not
    there, or that has no value of the metric yet.
    """
    searched, rows = read_search(folder)
    columns = {"folder", "epochs", "best_key", "ended"} if rows else set()
    for name, needed, found in (
        (SEARCH, {"store"}, searched["options"].keys()),
        (TABLE, columns, rows[0].keys() if rows else ()),
    ):
        if lacking := needed - set(found):
            raise UserError(f"{folder}: {name} is damaged (it lacks {', '.join(sorted(lacking))})")
    column = f"best_{searched['metric']}"
    scored = {row["trial"]: row for row in rows if row.get(column)}
    sign = -1 if searched["mode"] == "max" else 1
    ranked = sorted(scored, key=lambda name: (sign * float(scored[name][column]), name))
    by_rank = re.fullmatch(r"best:([1-9]\d*)", which)
    names = ranked[: int(by_rank[1])] if by_rank else which.split(",")
    for name in names:
        if name not in scored:
            raise UserError(
                f"--trials {which}: no trial {name!r} with a value of {searched['metric']} in "
                f"{folder}; allowed: best:N, or names from {', '.join(ranked) or 'none'}"
            )
    if not names:
        raise UserError(f"{folder}: no trial has a value of {searched['metric']} yet")
    chosen = [_chosen(folder, scored[name], column) for name in names]
    prepare(system(chosen[0].spec.system), chosen[0].spec.config())
    return searched, chosen


def _chosen(folder: Path, row: dict[str, str], column: str) -> Chosen:
    name = Path(row["folder"]).name  # which `read_rows` has checked
    spec = TrialSpec.read(str(folder / name / SCHEDULE))
    return Chosen(row["trial"], spec, float(row[column]), int(row["epochs"]))
