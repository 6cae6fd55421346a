"""What pictures have in common: colours, the size of letters, and how a PNG is written."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from analysis.files import write_bytes
from training.errors import UserError

Colour = tuple[int, int, int]
INK, QUIET, FAINT, PAPER = (29, 33, 38), (93, 102, 112), (227, 229, 228), (255, 255, 255)
BLUE, ORANGE = (43, 108, 176), (196, 87, 46)
LETTER_PX = 13


def png(image: Image.Image) -> bytes:
    """Return an image as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def write_picture(path: Path, picture: bytes) -> str:
    """Write a picture, aside and renamed; return a line that says so.

    Raises `UserError` where it cannot be written.
    """
    try:
        write_bytes(path, picture)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return f"wrote {path}"
