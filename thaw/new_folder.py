"""A new folder that is there whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import UserError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to write to, which is `folder` at the end.

    One that is there, and empty, is kept and filled, be it the current one or at the end of a link.
    Nothing is left behind where the block is interrupted. Raises `UserError` where `folder` holds
    something, or cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder}: is there already, and nothing is overwritten; name a new one")
    target, name = folder.resolve(), uuid.uuid4().hex
    is_there = target.exists()
    aside = target / f".{name}" if is_there else target.with_name(f".{target.name}.{name}")
    try:
        aside.mkdir(parents=True)
        yield aside
        if is_there:
            for entry in aside.iterdir():
                entry.replace(target / entry.name)
        else:
            aside.replace(target)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
