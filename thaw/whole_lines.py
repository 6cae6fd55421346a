"""Files that are appended to line by line, and may have been cut off by a full disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def end_last_line(path: Path) -> None:
    """Give the last line of a file its end where that is lacking, so that the next is its own.

    Nothing is done where there is no file, or an empty one.
    """
    with suppress(FileNotFoundError), path.open("r+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
