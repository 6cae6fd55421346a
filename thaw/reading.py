"""What a folder of results holds, read with care: anyone may have written or changed it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thaw.names import check_folder
from trainables import trust
from training.errors import UserError, explain

TABLE = "trials.csv"
SEARCH = "search.json"
Count = Annotated[int, Field(ge=1)]


class _Place(BaseModel):
    model_config = ConfigDict(extra="forbid")

    device: Literal["cpu", "cuda"]
    world_size: Count
    num_threads: Count


class _Options(BaseModel):
    model_config = ConfigDict(extra="allow")

    study: str = ""
    store: str = ""
    seed: int = 0


class _Facts(BaseModel):
    model_config = ConfigDict(extra="allow")

    metric: str = ""
    mode: Literal["max", "min"] = "max"
    study: str = ""
    system: str = ""
    root: str = ""
    kind: str = ""
    task: dict[str, Any] = {}
    pinned: dict[str, Any] = {}
    place: _Place | None = None
    options: _Options = _Options()
    listed: dict[str, dict[str, Any]] = Field({}, alias="list")
    planned: dict[str, dict[str, str]] = {}


def read_facts(folder: Path, what: str) -> dict[str, Any]:
    """Return what `search.json` says of the search, or whatever `what` it was.

    Raises `UserError` where it is not there or says something that cannot be, or where it names a
    Python file that was not run before: see `trust`.
    """
    try:
        facts = json.loads((folder / SEARCH).read_text(encoding="utf-8"))
        found = _Facts.model_validate(facts)
    except OSError as error:
        hint = "; results at a URL are copied here by `thaw fetch`" if ":/" in str(folder) else ""
        raise UserError(f"{folder}: no results of a {what} ({error.strerror}){hint}") from None
    except ValidationError as error:
        raise explain(error, f"{folder}: {SEARCH} is damaged") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder}: {SEARCH} is damaged ({error})") from None
    for name in (found.options.study, found.system):
        trust.check(name, f"{folder}: {SEARCH}")
    return dict(facts)


def read_rows(folder: Path, metric: str) -> list[dict[str, str]]:
    """Return the rows of `trials.csv`; raise `UserError` where one of them cannot be.

    The names of trials and of their folders lead nowhere else.
    """
    try:
        with (folder / TABLE).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"{folder}: no results of a search ({error.strerror})") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{folder}: {TABLE} is damaged ({error})") from None
    for number, row in enumerate(rows, 1):
        try:
            _check_row(row, metric)
        except ValueError as error:
            raise UserError(f"{folder}: {TABLE} is damaged (row {number}: {error})") from None
    return rows


def check_links(folder: Path) -> None:
    """Raise `UserError` where a folder that is written to again holds a link, however deep."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            check_link(Path(place, name))


def check_link(path: Path) -> None:
    """Raise `UserError` where a path is a link."""
    if path.is_symlink():
        raise UserError(f"{path}: is a link; nothing is written through it: remove it")


def _check_row(row: Mapping[Any, Any], metric: str) -> None:
    if None in row or None in row.values() or "trial" not in row:
        raise ValueError("other cells than columns, or no column `trial`")
    check_folder(row["trial"], "trial")
    if row.get("folder"):
        check_folder(Path(row["folder"]).name, "folder")
    kinds: dict[str, Callable[[str], float]] = {
        **dict.fromkeys(("epochs", "segments_trained", "segments_reused"), int),
        **dict.fromkeys(("device_s", "cost_s", f"best_{metric}", f"last_{metric}"), float),
    }
    for name, kind in kinds.items():
        if text := row.get(name):
            kind(text)
