"""Confusion matrices as one PNG: a panel for each stage, darker where more of a class went."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from thaw.confusion import StageEnd, name_of
from thaw.pictures import BLUE, FAINT, INK, LETTER_PX, ORANGE, PAPER, QUIET, Colour, png
from training.confusion import OTHERS

PICTURE = "confusion.png"

_MOST_CLASSES = 30
"""Of more classes those that are confused most are drawn."""
_PANEL_PX, _CELL_PX = 420, 64
"""Greatest side of a matrix, and of a cell."""
_GAP_PX, _HEAD_PX = 24, 46
_NAME = 14
"""Characters of a class's name."""


def picture(ends: Sequence[StageEnd], names: Sequence[str]) -> bytes:
    """Return the PNG of the matrices after the stages; rows are true classes and add up to 100 %.

    Of more than 30 classes, those that are confused most at the end are drawn.
    """
    chosen = _chosen(ends[-1])
    font = ImageFont.load_default(LETTER_PX)
    labels = [_short(name_of(number, names)) for number in chosen]
    margin = round(max((font.getlength(label) for label in labels), default=0)) + 10
    cell = max(14, min(_CELL_PX, _PANEL_PX // max(1, len(chosen))))
    panel = cell * len(chosen)
    width = _GAP_PX + len(ends) * (margin + panel + _GAP_PX)
    image = Image.new("RGB", (width, _HEAD_PX + panel + margin + _GAP_PX), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_GAP_PX, image.height - 20), "rows: true class, columns: predicted", QUIET, font)
    for place, end in enumerate(ends):
        left = _GAP_PX + place * (margin + panel + _GAP_PX) + margin
        draw.text((left, 8), f"{end.label}: {100 * end.accuracy:.1f} %", INK, font)
        _matrix(draw, end, chosen, left, cell, font)
        for at, label in enumerate(labels):
            middle = _HEAD_PX + (at + 0.5) * cell
            draw.text((left - 6, middle), label, INK, font, anchor="rm")
            _upright(image, label, left + (at + 0.5) * cell, _HEAD_PX + panel + 5, font)
    return png(image)


def size_of(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG in px."""
    with Image.open(io.BytesIO(png)) as image:
        return image.size


def _chosen(end: StageEnd) -> list[int]:
    if end.confusion.num_classes <= _MOST_CLASSES:
        return list(range(end.confusion.num_classes))
    found: dict[int, None] = {}
    for true, predicted, _ in end.confusion.confused():
        found |= {true: None, predicted: None}
    most = [*found, *(at for at in end.confusion.num() if at not in found)]
    return sorted(most[:_MOST_CLASSES])


def _matrix(
    draw: ImageDraw.ImageDraw,
    end: StageEnd,
    chosen: Sequence[int],
    left: int,
    cell: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Draw the cells; where a number fits into one it is written."""
    num, places = end.confusion.num(), {number: at for at, number in enumerate(chosen)}
    side = cell * len(chosen)
    draw.rectangle((left, _HEAD_PX, left + side, _HEAD_PX + side), outline=FAINT)
    for true, predicted, count in end.confusion.rows:
        if predicted == OTHERS or true not in places or predicted not in places:
            continue
        share = count / num[true]
        x, y = left + places[predicted] * cell, _HEAD_PX + places[true] * cell
        colour = _tint(BLUE if true == predicted else ORANGE, share)
        draw.rectangle((x, y, x + cell - 1, y + cell - 1), fill=colour)
        if draw.textlength(str(count), font) <= cell - 4:
            ink = PAPER if share > 0.55 else INK
            draw.text((x + cell / 2, y + cell / 2), str(count), ink, font, anchor="mm")


def _tint(colour: Colour, share: float) -> Colour:
    """Return white at 0, `colour` at 1; what is not 0 can be seen."""
    strength = 0.12 + 0.88 * share
    red, green, blue = (round(255 + (part - 255) * strength) for part in colour)
    return red, green, blue


def _upright(
    image: Image.Image,
    text: str,
    x: float,
    y: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Write `text` from bottom to top, ending at (x, y)."""
    length = max(1, round(font.getlength(text)))
    piece = Image.new("RGB", (length, LETTER_PX + 5), PAPER)
    ImageDraw.Draw(piece).text((0, 0), text, INK, font)
    turned = piece.rotate(90, expand=True)
    image.paste(turned, (round(x - turned.width / 2), round(y)))


def _short(name: str) -> str:
    flat = " ".join(name.split())
    return flat if len(flat) <= _NAME else f"{flat[: _NAME - 1]}…"
