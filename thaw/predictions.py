"""What a segmenting network predicts at the ends of its stages: image, truth, predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from thaw.pictures import INK, LETTER_PX, PAPER, QUIET, png
from thaw.stage_ends import End, ends_with
from trainables.spec import TrialSpec
from training.record import Record
from training.thumbnails import PREDICTIONS, unpacked

PICTURE = "predictions.png"
_TABLE = f"val_{PREDICTIONS}"
_CELL_PX, _GAP_PX, _HEAD_PX, _LINE_PX = 144, 8, 44, 18


def prediction_ends(visited: Iterable[tuple[str, Record]], objective: str) -> list[End]:
    """Return the last segment of each stage on the data set `objective`, as far as it was drawn."""
    return ends_with(_TABLE, visited, objective)


def prediction_picture(spec: TrialSpec, ends: Sequence[End]) -> bytes:
    """Return a PNG: a row for each image that the task draws, then truth, and what each stage saw.

    Predictions are grey where the network is not sure.
    """
    examples = spec.build_task().examples().numpy()  # type: ignore[attr-defined]  # (K, 4, S, S)
    columns = [("image", "", examples[:, :3].transpose(0, 2, 3, 1)), ("truth", "", examples[:, 3])]
    columns += [(end.stage, f"epoch {end.epoch}", unpacked(end.rows)) for end in ends]
    step = _CELL_PX + _GAP_PX
    width = _GAP_PX + step * len(columns)
    picture = Image.new("RGB", (width, _HEAD_PX + step * len(examples)), PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(LETTER_PX)
    for column, (name, when, cells) in enumerate(columns):
        left = _GAP_PX + column * step
        draw.text((left, 5), _fitting(name, draw, font), INK, font)
        draw.text((left, 5 + _LINE_PX), when, QUIET, font)
        for row, cell in enumerate(cells):
            picture.paste(_scaled(cell), (left, _HEAD_PX + row * step))
    return png(picture)


def _scaled(pixels: np.ndarray) -> Image.Image:
    """Return (S, S) or (S, S, 3) uint8 in the size of a cell, with its pixels to be seen."""
    return Image.fromarray(pixels).convert("RGB").resize((_CELL_PX, _CELL_PX), Image.Resampling.BOX)


def _fitting(
    text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    """Return as much of `text` as fits over a cell."""
    if draw.textlength(text, font) <= _CELL_PX:
        return text
    whole = next(
        n for n in reversed(range(len(text))) if draw.textlength(f"{text[:n]}…", font) <= _CELL_PX
    )
    return f"{text[:whole]}…"
