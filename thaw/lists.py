"""A fixed list of trials on the slots, without a sampler and without a scheduler.

What makes up such a list is in `search.json`, and all else is replayed from the store: the same
command into the same folder goes on where it was cut off.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ray.tune.schedulers import FIFOScheduler
from rich.console import Console

from thaw.at_work import working_in
from thaw.cluster import connected, num_slots, place_of, workers_of
from thaw.mirror import folder_of
from thaw.names import check_folder
from thaw.options import Options
from thaw.place import check_place
from thaw.reading import SEARCH, check_links
from thaw.results import Table, write_search
from thaw.running import Run, run_trials
from thaw.trials import FixedList, Proposal
from thaw.worth import Worth
from trainables.slot import Assignment
from trainables.spec import TrialSpec
from training.errors import UserError
from training.plain_files import read_json
from training.settings import Place
from training.store import Store
from training.walk import foresee


@dataclass(frozen=True)
class Item:
    """One trial of a list."""

    name: str
    """Name of its folder and of its row."""
    values: dict[str, Any]
    """What the table shows of it."""
    spec: TrialSpec

    def __post_init__(self) -> None:
        """Raise `UserError` where the name is none for a folder."""
        check_folder(self.name, "trial")


def run_list(
    items: Sequence[Item],
    *,
    kind: str,
    searched: dict[str, Any],
    out: str,
    console: Console,
    worth: Worth | None = None,
    options: Options | None = None,
) -> Table:
    """Train `items`, which a command `kind` made of the search that `searched` describes.

    Store, slots and devices are those of that search, so that its segments are found again; or
    those of `options`, whose URLs still have their passwords. Nobody ends an item early, unless
    `worth` does. Raises `UserError` where there are no such devices any more, or another process
    works in the same folder.
    """
    options = replace(options or Options.read(searched["options"], SEARCH), out=out, resume=False)
    folder = folder_of(out)
    store = Store(options.store)
    store.files.check()
    with working_in(folder), connected(options.address):
        workers = workers_of(options)
        place = place_of(workers, options.device)
        check_place(searched.get("place"), place, f"{kind} of {searched['study']}")
        facts = [item.spec.facts(place) for item in items]
        described = {
            **{name: searched[name] for name in ("study", "system", "task", "metric", "mode")},
            "kind": kind,
            "pinned": {},
            "place": asdict(place),
            "options": options.plain(),
            "list": {item.name: _entry(item, searched["task"]) for item in items},
            **({"planned": searched["planned"]} if "planned" in searched else {}),
        }
        _make_room(folder, described)
        write_search(folder, described)
        table = Table(searched["metric"], searched["mode"], num_trials=len(items))
        run = Run(
            folder=folder,
            title=f"{kind} of {searched['study']}",
            num_trials=len(items),
            store=store,
            workers=workers,
            slots=num_slots(workers, options.max_concurrent),
            scheduler=FIFOScheduler(),
            scheduler_name="none",
            store_budget=options.store_budget,
            worth=worth,
        )
        proposals = [
            Proposal(
                values=item.values,
                assignment=Assignment(item.name, item.spec, fact),
                keys=foresee(item.spec.schedule, fact),
            )
            for item, fact in zip(items, facts, strict=True)
        ]
        run_trials(run, FixedList(proposals), table, console)
    return table


def _entry(item: Item, task: dict[str, Any]) -> dict[str, Any]:
    """Return what an item does, with its task where that is one of its own."""
    own = {} if item.spec.task == task else {"task": item.spec.task}
    return own | item.spec.schedule.plain()


def _make_room(folder: Path, described: dict[str, Any]) -> None:
    """Clear what an earlier run of the same list wrote; raise `UserError` for anything else.

    A list whose runs were planned may have got more of them since.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        before = read_json(folder / SEARCH)
    except UserError:
        before = None
    before = before if isinstance(before, dict) else {}
    known, listed = before.get("list"), json.loads(json.dumps(described["list"]))
    if "planned" in described and known and "planned" in before:
        listed = {name: listed.get(name) for name in known}
    if known != listed:
        raise UserError(
            f"--out {folder}: is not empty, and not an earlier run of this; name another"
        )
    check_place(before.get("place"), Place(**described["place"]), f"--out {folder}")
    check_links(folder)
    for name in described["list"]:
        shutil.rmtree(folder / name, ignore_errors=True)
