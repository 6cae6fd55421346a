"""The curve of a range test as PNG: loss over the logarithm of the LR, and what it suggests."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from thaw.pictures import BLUE, FAINT, INK, LETTER_PX, ORANGE, PAPER, QUIET, Colour, png
from training.lr_finder import RangeTest

PICTURE = "lr-find.png"
_WIDTH, _HEIGHT = 900, 520
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 58, 24, 56
_TIMES = 2.0
"""What is more above the least smoothed loss than the beginning is, so many times, is cut off;
where the beginning is the least, what is above the greatest."""
_PALE: Colour = (176, 200, 224)
_MARKS = (ORANGE, INK)
_TICKS = 6


def picture(found: RangeTest, suggestions: Mapping[str, float | None], trained: str) -> bytes:
    """Return the PNG: pale the loss of each step, blue smoothed, a mark for each suggestion.

    Losses that are not finite are left out, and what lies far above the curve is cut off.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(LETTER_PX)
    frame = _Frame(found)
    draw.text((_LEFT, 14), f"learning-rate range test of {trained}", INK, font)
    frame.axes(draw, font)
    frame.line(draw, found.losses, _PALE, 1)
    frame.line(draw, found.smoothed, BLUE, 3)
    known = [(name, lr) for name, lr in suggestions.items() if lr is not None]
    for place, (name, lr) in enumerate(known):
        colour = _MARKS[place % len(_MARKS)]
        x, y = frame.at(lr, found.smoothed[found.lrs.index(lr)])
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour, outline=PAPER)
        text = f"{name}: {lr:.2g}"
        draw.text((_WIDTH - _RIGHT, 14 + place * 18), text, colour, font, anchor="ra")
    return png(image)


class _Frame:
    """Where values lie in the picture."""

    def __init__(self, found: RangeTest) -> None:
        self.lrs = found.lrs
        self.logs = [math.log10(lr) for lr in found.lrs]
        smooth = [value for value in found.smoothed if math.isfinite(value)] or [0.0]
        least = min(smooth)
        fall = smooth[0] - least
        self.low = least - 0.05 * fall
        self.high = least + (_TIMES * fall or max(smooth) - least or abs(least) or 1.0)

    def at(self, lr: float, loss: float) -> tuple[float, float]:
        """Return where a value lies, in px from the upper left corner."""
        first, last = self.logs[0], self.logs[-1]
        right = (math.log10(lr) - first) / ((last - first) or 1.0)
        up = (min(max(loss, self.low), self.high) - self.low) / (self.high - self.low)
        width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return _LEFT + right * width, _TOP + (1 - up) * height

    def line(
        self, draw: ImageDraw.ImageDraw, values: tuple[float, ...], colour: Colour, width: int
    ) -> None:
        """Draw the values that are finite."""
        pairs = zip(self.lrs, values, strict=True)
        points = [self.at(lr, value) for lr, value in pairs if math.isfinite(value)]
        draw.line(points, fill=colour, width=width, joint="curve")

    def axes(
        self, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    ) -> None:
        """Draw a line for each power of ten and for some losses."""
        bottom = _HEIGHT - _BOTTOM
        for power in range(math.ceil(self.logs[0] - 1e-9), math.floor(self.logs[-1] + 1e-9) + 1):
            x, _ = self.at(10.0**power, self.low)
            draw.line((x, _TOP, x, bottom), fill=FAINT)
            draw.text((x, bottom + 8), f"1e{power}", QUIET, font, anchor="ma")
        for loss in np.linspace(self.low, self.high, _TICKS).tolist():
            _, y = self.at(self.lrs[0], loss)
            draw.line((_LEFT, y, _WIDTH - _RIGHT, y), fill=FAINT)
            draw.text((_LEFT - 8, y), f"{loss:.3g}", QUIET, font, anchor="rm")
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        draw.text((middle, _HEIGHT - 22), "learning rate", QUIET, font, anchor="ma")
        draw.text((_LEFT, _TOP - 4), "training loss", QUIET, font, anchor="ls")
