"""The best trial of a search: its schedule and the checkpoint after its best segment."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax

from thaw.choosing import choose
from thaw.export import write_model
from thaw.results import read_search
from training.store import Store


def write_best(folder: Path, out: Path | None, console: Console) -> None:
    """Write the best trial's `schedule.yaml` and `model.pt`, and show the schedule."""
    facts, (chosen,) = choose(folder, "best:1")
    row = next(row for row in read_search(folder)[1] if row["trial"] == chosen.name)
    spec = chosen.spec
    store = Store(facts["options"]["store"])
    written = write_model(spec, store, row["best_key"], out or folder / "best")
    console.print(
        f"trial {row['trial']}: best {facts['metric']} {chosen.best:.4f}, "
        f"last {float(row['last_' + facts['metric']]):.4f}, {row['epochs']} epochs, {row['ended']}"
    )
    console.print(Syntax(spec.yaml(), "yaml", background_color="default"))
    console.print(written)
