"""Faces before and after training as one PNG: a row for each person, a column for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from thaw.pictures import INK, PAPER, png
from training.cyclic import Cyclic
from training.cyclic_config import create, shape_of
from training.dsr import FACE, bicubic, shrink
from training.store import Store

_GAP_PX, _HEAD_PX, _SIZE = 6, 22, 12
Made = tuple[str, str]
"""(heading, key of the state): a DSR whose outputs are shown."""


def dsr_ends(stages: Sequence[tuple[str, str, str]]) -> list[Made]:
    """Return stage and last key of each stage that trained DSR, from (stage, model, key)."""
    last = [list(group)[-1] for _, group in groupby(stages, key=lambda found: found[0])]
    return [(stage, key) for stage, model, key in last if model == "dsr"]


def strip(task: Cyclic, store: Store, made: Sequence[Made], num_people: int) -> bytes | None:
    """Return the PNG: low resolution, bicubic, the outputs of each DSR, and the truth.

    A DSR whose state the store no longer has is left out; None where none is left.
    """
    truth = task.held_out(num_people)  # (N, 3, 112, 112) in [0, 1]
    low = shrink(truth, task.config.resolution)
    outputs = {
        heading: upsampled(task, state, low)
        for heading, key in made
        if (state := store.state(key)) is not None
    }
    if not outputs:
        return None
    small = F.interpolate(low, size=(FACE, FACE), mode="nearest")
    columns = {f"{task.config.resolution} px": small, "bicubic": bicubic(low)}
    return _drawn(columns | outputs | {"truth": truth})


@torch.no_grad()
def upsampled(task: Cyclic, state: Mapping[str, Any], low: Tensor) -> Tensor:
    """Return (N, 3, 112, 112), what the DSR of a state makes of (N, 3, S, S) faces."""
    dsr, _ = create(shape_of(task.config))
    weights = {n.removeprefix("dsr."): v for n, v in state["models"].items() if n[:4] == "dsr."}
    averaged = state["averaged"]
    is_dsr = averaged is not None and averaged.keys() == weights.keys()
    dsr.load_state_dict(averaged if is_dsr else weights)
    faces: Tensor = dsr.eval()(low)
    return faces


def _drawn(columns: Mapping[str, Tensor]) -> bytes:
    num_rows = len(next(iter(columns.values())))
    side = FACE + _GAP_PX
    size = (len(columns) * side + _GAP_PX, num_rows * side + _HEAD_PX)
    image = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_SIZE)
    for place, (heading, faces) in enumerate(columns.items()):
        left = _GAP_PX + place * side
        draw.text((left, 4), heading, INK, font)
        pixels = (faces.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        for row, face in enumerate(pixels):
            image.paste(Image.fromarray(face), (left, _HEAD_PX + row * side))
    return png(image)
