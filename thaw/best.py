"""The best trial of a search: its schedule and the checkpoint after its best segment."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.syntax import Syntax

from thaw.choosing import choose
from thaw.export import write_model
from thaw.mirror import folder_of
from thaw.reading import check_link
from thaw.results import read_search
from trainables.spec import TrialSpec
from training.errors import UserError
from training.settings import Place
from training.store import Store
from training.trainer import Trainer
from training.walk import path_to


def write_best(folder: Path, out: Path | None, console: Console) -> None:
    """Write the best trial's `schedule.yaml` and `model.pt`, and show the schedule."""
    if out is None:
        check_link(folder / "best")
    else:
        folder_of(str(out))  # before anything is trained again
    facts, (chosen,) = choose(folder, "best:1")
    row = next(row for row in read_search(folder)[1] if row["trial"] == chosen.name)
    spec = chosen.spec
    store = Store(facts["options"]["store"])
    if store.state(row["best_key"]) is None:
        _train_again(spec, store, row["best_key"], Place(**facts["place"]), console)
    written = write_model(spec, store, row["best_key"], out or folder / "best")
    console.print(
        f"trial {row['trial']}: best {facts['metric']} {chosen.best:.4f}, "
        f"last {row['last_' + facts['metric']]}, {row['epochs']} epochs, {row['ended']}"
    )
    console.print(Syntax(spec.yaml(), "yaml", background_color="default"))
    console.print(written)


def _train_again(spec: TrialSpec, store: Store, key: str, place: Place, console: Console) -> None:
    """Train the segment `key` again, from the nearest state before it that is left."""
    facts = spec.facts(place)
    path = path_to(key, spec.schedule, facts, store)
    if path is None:
        raise UserError(f"store {store.url}: has no records that lead to {key[:12]}")
    if place.device == "cuda" and not torch.cuda.is_available():
        raise UserError(f"the state {key[:12]} was trained on a GPU, and there is none here")
    console.print("its state is not in the store any more: what led there is trained again")
    trainer = Trainer(
        spec.build_task(), root=facts.root, seed=spec.schedule.seed, store=store, place=place
    )
    trainer.train(path)
