"""The best trial of a search: its schedule and the checkpoint after its best segment."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax

from thaw.export import write_model
from thaw.results import SCHEDULE, read_search
from trainables.spec import TrialSpec
from training.errors import UserError
from training.store import Store


def write_best(folder: Path, out: Path | None, console: Console) -> None:
    """Write the best trial's `schedule.yaml` and `model.pt`, and show the schedule."""
    facts, rows = read_search(folder)
    column = f"best_{facts['metric']}"
    scored = [row for row in rows if row.get(column)]
    if not scored:
        raise UserError(f"{folder}: no trial has a value of {facts['metric']} yet")
    choose = max if facts["mode"] == "max" else min
    row = choose(scored, key=lambda candidate: float(candidate[column]))
    name = Path(row["folder"]).name  # never out of the results, whatever the table says
    spec = TrialSpec.read(str(folder / name / SCHEDULE))
    store = Store(facts["options"]["store"])
    written = write_model(spec, store, row["best_key"], out or folder / "best")
    console.print(
        f"trial {row['trial']}: best {facts['metric']} {float(row[column]):.4f}, "
        f"last {float(row['last_' + facts['metric']]):.4f}, {row['epochs']} epochs, {row['ended']}"
    )
    console.print(Syntax(spec.yaml(), "yaml", background_color="default"))
    console.print(written)
