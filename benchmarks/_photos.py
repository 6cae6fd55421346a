"""A folder of JPEG files that cost what photographs cost: 200-300 px, detail at every scale."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

_CANVAS_PX = 768
_NUM_CANVASES = 24
_QUALITY = 85


def write_photos(folder: Path, num: int, *, num_classes: int, num_val: int) -> int:
    """Write `num` images, of which `num_val` for validation; return their bytes in all."""
    canvases = [_canvas(np.random.default_rng([0, index])) for index in range(_NUM_CANVASES)]
    for split in ("train", "val"):
        for label in range(num_classes):
            (folder / split / f"class{label:02}").mkdir(parents=True)

    def write(index: int) -> int:
        split = "val" if index < num_val else "train"
        path = folder / split / f"class{index % num_classes:02}" / f"{index:06}.jpg"
        _photo(np.random.default_rng([1, index]), canvases).save(path, quality=_QUALITY)
        return path.stat().st_size

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(write, range(num)))


def _canvas(random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return (side, side, 3) with a power spectrum of 1 / f^2, as natural images have."""
    frequency = np.hypot(np.fft.fftfreq(_CANVAS_PX)[:, None], np.fft.rfftfreq(_CANVAS_PX)[None])
    frequency[0, 0] = np.inf
    shape = (3, *frequency.shape)
    phases = np.exp(2j * np.pi * random.random(shape)) * random.rayleigh(size=shape)
    grey, *colours = np.fft.irfft2(phases / frequency, s=(_CANVAS_PX, _CANVAS_PX))
    channels = [grey, grey + 0.3 * colours[0], grey + 0.3 * colours[1]]
    canvas = np.stack(channels, 2)
    found: npt.NDArray[np.float32] = (canvas / canvas.std()).astype(np.float32)
    return found


def _photo(random: np.random.Generator, canvases: list[npt.NDArray[np.float32]]) -> Image.Image:
    """Return a part of one canvas with an object cut from another, of random size and contrast."""
    height, width = random.integers(200, 301, 2)
    scene, thing = (
        _part(random, canvases[index], height, width)
        for index in random.choice(len(canvases), 2, replace=False)
    )
    y, x = np.ogrid[:height, :width]
    middle, radius = random.uniform(0.3, 0.7, 2), random.uniform(0.15, 0.4)
    inside = np.hypot(y / height - middle[0], x / width - middle[1]) < radius
    pixels = np.where(inside[..., None], thing + random.normal(0, 0.7, 3), scene)
    return Image.fromarray(np.clip(128 + 50 * pixels, 0, 255).astype(np.uint8))


def _part(
    random: np.random.Generator, canvas: npt.NDArray[np.float32], height: int, width: int
) -> npt.NDArray[np.float32]:
    top, left = (random.integers(0, _CANVAS_PX - side) for side in (height, width))
    return canvas[top : top + height, left : left + width]
