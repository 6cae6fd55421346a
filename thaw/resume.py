"""Going on with a search: what is read back, and which trials are replayed."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from search_spaces.study import Study
from search_spaces.study import study as find_study
from thaw.asking import OptunaSource
from thaw.mirror import fetched
from thaw.options import Options
from thaw.place import check_place
from thaw.reading import SEARCH, check_links
from thaw.results import Row, Table, read_search
from thaw.sampling import begun
from thaw.trials import Proposal
from training.errors import UserError
from training.schedule import Facts


def resumed_search(
    out: str, address: str | None = None
) -> tuple[Study, dict[str, Any], dict[str, Any], Options]:
    """Return study, task, pinned dimensions and options of the search in a folder, to go on.

    It goes on where it ran, unless `address` names another cluster. Raises `UserError` where there
    is none.
    """
    folder = fetched(out)
    facts, _ = read_search(folder)
    check_links(folder)
    if "list" in facts:
        raise UserError(
            f"{out}: was made by `thaw {facts['kind']}`; run that again with --out {out}"
        )
    options = Options.read(facts["options"] | {"resume": True, "out": out}, f"{out}: {SEARCH}")
    if address is not None:
        options = replace(options, address=address)
    found = find_study(options.study)
    given = facts.get("pinned", {}).items()
    pinned = {name: found.dimension(name).accept(value) for name, value in given}
    return found, facts.get("task", {}), pinned, options


def check_same(folder: Path, facts: Facts) -> None:
    """Raise `UserError` where the search in `folder` began from something else than `facts` name.

    Its trials would be trained anew, all of them, and ranked beside what was measured before. So
    they would on other devices.
    """
    before, _ = read_search(folder)
    if before.get("root", facts.root) != facts.root:
        raise UserError(
            f"{folder}: its data, starting weights or training code have changed since; nothing of "
            "it can be gone on with: retrain in full, by a new search into another --out"
        )
    check_place(before.get("place"), facts.place, str(folder))


def take_up(
    opened: optuna.Study, source: OptunaSource, folder: Path, table: Table
) -> list[Proposal]:
    """Return the trials of the earlier run as proposals, and put those that failed in the table.

    The folders of the others are removed: replaying writes them anew, from the store. Raises
    `UserError` where the study holds trials that this search cannot have asked for.
    """
    _, rows = read_search(folder)
    for row in rows:
        if row["status"] == "failed":
            known = Row.from_plain(row, table.metric)
            table.rows[known.trial] = known
    kept = {row.folder for row in table.rows.values()}
    for entry in folder.iterdir():
        if entry.is_dir() and re.fullmatch(r"\d{4,}", entry.name) and entry.name not in kept:
            shutil.rmtree(entry)
    try:
        found = [
            source.go_on_with(optuna.Trial(opened, frozen._trial_id), frozen)
            if frozen.state == TrialState.RUNNING
            else source.adopt(frozen)
            for frozen in begun(opened)
            if frozen.state != TrialState.FAIL
        ]
        return [proposal for proposal in found if proposal is not None]
    except UserError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--storage: its trials are not those of {folder} ({reason})") from None
