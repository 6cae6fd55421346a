"""Names of trials are names of folders: none leads out of the results or hides a file there."""

from __future__ import annotations

import re

from training.errors import UserError

_NAME = re.compile(r"\w[\w.+-]*")
_LONGEST_BYTES = 200
_TAKEN = frozenset(
    {
        "best",
        "confirm.json",
        "optuna.db",
        "search.json",
        "search.log",
        "segments.txt",
        "trainable.pkl",
        "trials.csv",
        "tuner.pkl",
    }
)


def check_folder(name: str, what: str) -> None:
    """Raise `UserError` where the folder of a trial cannot be called `name`; `what` it names."""
    if name in _TAKEN:
        raise UserError(f"{what} {name!r}: a file of the results is called so; choose another name")
    if not _NAME.fullmatch(name) or len(name.encode()) > _LONGEST_BYTES:
        raise UserError(
            f"{what} {name[:_LONGEST_BYTES]!r}: is no name of a folder; allowed: letters, digits, "
            f"'_', '.', '+', '-', the first no sign, at most {_LONGEST_BYTES} bytes"
        )
