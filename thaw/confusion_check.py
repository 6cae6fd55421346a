"""What `thaw check confusion` does: the confusion matrices of a trial, from the store alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from thaw.choosing import choose
from thaw.confusion import class_names, show_confusion, stage_ends
from thaw.confusion_picture import PICTURE, picture
from thaw.pictures import write_picture
from thaw.train import spec_of
from trainables.spec import TrialSpec
from training.errors import UserError
from training.keys import Step
from training.record import Record
from training.settings import Place
from training.store import Store
from training.walk import walk

_STORE = "results/store"


@dataclass(frozen=True)
class _Asked:
    """A trial, where it was trained, and where its picture goes."""

    spec: TrialSpec
    place: Place
    store: str
    picture: Path
    hint: str


def check_confusion(
    what: str, trial: str | None, store: str | None, out: Path | None, console: Console
) -> None:
    """Print the table and write the picture; raise `UserError` where nothing was counted."""
    asked = _of_search(Path(what), trial, store) if Path(what).is_dir() else _of_file(what, store)
    if trial is not None and not Path(what).is_dir():
        raise UserError(f"--trial {trial}: {what} is no folder of a search's results")
    visited = list(_stored(asked))
    ends = stage_ends(visited, asked.spec.schedule.objective)
    if not visited:
        raise UserError(f"store {asked.store}: nothing of {what} is there; {asked.hint}")
    if not ends:
        raise UserError(f"store {asked.store}: no confusion was counted for {what}")
    names = class_names(asked.spec)
    show_confusion(console, ends, names)
    console.print(write_picture(out or asked.picture, picture(ends, names)), soft_wrap=True)


def _of_search(folder: Path, trial: str | None, store: str | None) -> _Asked:
    facts, (chosen,) = choose(folder, trial or "best:1")
    file = folder / PICTURE.replace(".", f"-{chosen.name}.")
    used = store or facts["options"]["store"]
    return _Asked(chosen.spec, Place(**facts["place"]), used, file, "name its --store")


def _of_file(what: str, store: str | None) -> _Asked:
    spec = spec_of(what, [], None, None)
    place = Place(device="cuda" if torch.cuda.is_available() else "cpu")
    return _Asked(spec, place, store or _STORE, Path(PICTURE), f"train it first: thaw train {what}")


def _stored(asked: _Asked) -> Iterator[tuple[str, Record]]:
    """Yield stage and record of each segment, up to the first that is not in the store."""
    facts = asked.spec.facts(asked.place)
    try:
        for visit in walk(asked.spec.schedule, facts, Store(asked.store), _missing):
            yield visit.stage, visit.record
    except _NotThere:
        return


class _NotThere(Exception):
    """A segment is not in the store."""


def _missing(path: Sequence[Step]) -> Record:
    raise _NotThere
