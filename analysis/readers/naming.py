"""What a run is called: the path of its log, less what its writer put there for itself."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from analysis.readers.text import words

_SUFFIX = re.compile(r"(\.log)?\.(json|jsonl|ndjson|csv|tsv|txt|log)$", re.IGNORECASE)
_STAMP = re.compile(r"\d{8}[_-]\d{6}$")
_FIXED = frozenset(
    words(
        "result progress metrics summary scalars trainer_state eval_measurements results log logs "
        "history train_log training_log"
    )
)
"""File names, without the ending, that a writer gives to every run."""
_CHECKPOINT = re.compile(r"checkpoint-\d+$")
_OF_FOLDER = frozenset({"tune", "events", "lm-eval"})
"""Families whose files say nothing about their run by their own name."""


def short(name: PurePosixPath) -> str:
    """Return the name of a file without its ending."""
    return _SUFFIX.sub("", name.name)


def stamp(name: PurePosixPath) -> str:
    """Return the time of the start that OpenMMLab puts into names and folders, "" without one."""
    parts = [part for part in (*name.parent.parts, short(name)) if _STAMP.match(part)]
    return parts[-1] if parts else ""


def run_name(name: PurePosixPath, family: str, *, alone: bool = True) -> PurePosixPath:
    """Return the name of the run of a log.

    Where several runs would have this name, `alone` is false, and more of the path stays.
    """
    folder = name.parent
    while _is_inside(folder.name, family, alone):
        folder = folder.parent
    if family in _OF_FOLDER:
        return folder
    own = short(name)
    is_stamp = family == "openmmlab" and _STAMP.match(own)
    fixed = own.lower() in _FIXED and (alone or family == "openmmlab")
    return folder if fixed or (is_stamp and alone) else folder / own


def _is_inside(folder: str, family: str, alone: bool) -> bool:
    """Tell whether a folder belongs to the writer of the log, and not to the run's name."""
    if family == "openmmlab":
        return folder == "vis_data" or (alone and _STAMP.match(folder) is not None)
    return family == "hugging face" and _CHECKPOINT.match(folder) is not None
