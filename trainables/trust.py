"""Python files that data may name: only those that this user has run before.

A schedule, a matrix or the folder of a search may name a system or a study by its file, and that
file is run. Files that were named on a command line are noted in the cache folder; one that only a
file of data names is refused until then, or until its folder is in `THAW_TRUST`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from training.decoded import cache_folder
from training.errors import UserError

VARIABLE = "THAW_TRUST"
"""Environment variable: folders whose Python files may be named by data, as in `PATH`."""
_NOTED = "trusted.txt"


def note(path: Path) -> None:
    """Note that the user ran a Python file; where that cannot be written, it is not noted."""
    line = str(path.resolve())
    with suppress(OSError):
        if line not in _noted():
            cache_folder().mkdir(parents=True, exist_ok=True)
            with (cache_folder() / _NOTED).open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")


def check(name: str, where: str) -> None:
    """Raise `UserError` where data names a Python file that was not run before.

    `name` is that of a system or a study, `where` the file that holds it.
    """
    if not name.endswith(".py"):
        return
    path = Path(name).resolve()
    folders = [folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    if str(path) in _noted() or any(path.is_relative_to(Path(f).resolve()) for f in folders):
        return
    raise UserError(
        f"{where}: names the Python file {name}, which you have not run before; look at it, then "
        f"run a command on the study itself (thaw plan FILE.py), or set {VARIABLE}={path.parent}"
    )


def _noted() -> frozenset[str]:
    try:
        return frozenset((cache_folder() / _NOTED).read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return frozenset()
