"""`thaw matrix status`: what has become of each run of a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thaw.at_work import is_at_work
from thaw.matrix import KIND
from thaw.reading import SEARCH, TABLE, read_facts, read_rows
from training.errors import UserError
from training.schedule import Schedule

COMPLETE, RUNNING, PENDING, FAILED = "complete", "running", "pending", "failed"
STATES = (COMPLETE, RUNNING, PENDING, FAILED)
_STYLES = {COMPLETE: "green", RUNNING: "cyan", PENDING: "", FAILED: "red"}
_ENDED = {"finished": COMPLETE, "stopped": COMPLETE, "failed": FAILED, "diverged": FAILED}


@dataclass(frozen=True)
class State:
    """One run of a matrix."""

    name: str
    labels: dict[str, str]
    state: str
    """One of `STATES`."""
    done: int
    """Segments so far."""
    num: int
    """Segments of the whole run; 0 for one that is on hold."""
    last: float | None
    """Last value of the metric."""
    remark: str


def read_states(folder: Path) -> tuple[str, list[State]]:
    """Return the metric and the state of each run, in the order of the matrix.

    What was running when its process died is pending: it goes on with the next `thaw matrix`.
    Raises `UserError` where the folder holds no matrix.
    """
    searched = read_facts(folder, "matrix")
    if searched.get("kind") != KIND:
        raise UserError(f"{folder}: was not made by `thaw matrix`")
    if lacking := {"metric", "list", "planned"} - set(searched):
        raise UserError(f"{folder}: {SEARCH} is damaged (it lacks {', '.join(sorted(lacking))})")
    rows = read_rows(folder, searched["metric"]) if (folder / TABLE).exists() else []
    if rows and (
        lacking := {"status", "epochs", "ended", f"last_{searched['metric']}"} - set(rows[0])
    ):
        raise UserError(f"{folder}: {TABLE} lacks the column {min(lacking)}")
    at_work, by_name = is_at_work(folder), {row["trial"]: row for row in rows}
    states = [
        _state(name, labels, searched, by_name.get(name), at_work)
        for name, labels in searched["planned"].items()
    ]
    return searched["metric"], states


def _state(
    name: str,
    labels: dict[str, str],
    searched: dict[str, Any],
    row: dict[str, str] | None,
    at_work: bool,
) -> State:
    listed = searched["list"].get(name)
    num = 0
    if listed is not None:
        plain = {field: value for field, value in listed.items() if field != "task"}
        num = Schedule.parse(plain).num_epochs
    if row is None:
        return State(name, labels, PENDING, 0, num, None, "" if listed else "on hold")
    state = _ENDED.get(row["status"], RUNNING if at_work else PENDING)
    last = row[f"last_{searched['metric']}"]
    cut_off = state == PENDING and int(row["epochs"]) > 0
    remark = "cut off; goes on with the same command" if cut_off else row["ended"]
    return State(
        name,
        labels,
        state,
        int(row["epochs"]),
        num,
        float(last) if last else None,
        "" if remark == "finished" else remark,
    )


def show_states(metric: str, states: list[State], console: Console) -> None:
    """Print the table of states, and how many runs are in each."""
    axes = list(states[0].labels) if states else []
    table = Table("state", *axes, "segments", metric, "", box=SIMPLE_HEAD, pad_edge=False)
    for found in states:
        table.add_row(
            Text(found.state, style=_STYLES[found.state]),
            *(found.labels[axis] for axis in axes),
            f"{found.done}/{found.num}" if found.num else "-",
            "" if found.last is None else f"{found.last:.4f}",
            found.remark,
        )
    console.print(table)
    counts = [f"{sum(s.state == state for s in states)} {state}" for state in STATES]
    console.print(", ".join(counts))
