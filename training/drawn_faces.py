"""Parametric faces: an identity fixes geometry and colours; pose, light and expression vary.

Drawn from soft shapes in a square from -1 to 1 with y pointing down. They are no photographs; they
are there so that everything runs, and can be tested, without a data set of people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng

from training.dsr import FACE

Array = np.ndarray[Any, Any]
Shapes = dict[str, Any]
"""Name -> number, or (3,) colour."""

HELD_OUT = 1 / 3
"""Share of the identities that are for testing."""
_SOFT = 0.006
_MOLES = 7
_SKIN = np.array(((0.96, 0.82, 0.72), (0.80, 0.58, 0.44), (0.42, 0.27, 0.20)))
_HAIR = np.array(((0.08, 0.06, 0.05), (0.35, 0.20, 0.10), (0.80, 0.65, 0.35), (0.55, 0.22, 0.10)))
_EYES = np.array(((0.20, 0.12, 0.06), (0.25, 0.45, 0.65), (0.30, 0.45, 0.25)))

_IDENTITY = {  # geometry: name -> (low, high)
    "width": (0.50, 0.68),
    "height": (0.68, 0.86),
    "jaw": (1.8, 3.2),
    "eye_apart": (0.19, 0.31),
    "eye_y": (-0.22, -0.04),
    "eye_size": (0.055, 0.10),
    "eye_slant": (-0.25, 0.25),
    "brow_up": (0.11, 0.20),
    "brow_thick": (0.012, 0.040),
    "brow_slant": (-0.30, 0.30),
    "nose_long": (0.16, 0.34),
    "nose_wide": (0.05, 0.12),
    "mouth_y": (0.36, 0.54),
    "mouth_wide": (0.15, 0.31),
    "lips": (0.022, 0.060),
    "hairline": (-0.66, -0.36),
    "hair_side": (0.00, 0.14),
    "beard": (-0.6, 0.5),
    "strands": (18.0, 60.0),
    "parting": (-0.8, 0.8),
    "lashes": (0.010, 0.030),
    "cheek": (0.10, 0.30),
}
_VARIATION = {
    "yaw": (-0.14, 0.14),
    "pitch": (-0.05, 0.05),
    "roll": (-0.14, 0.14),
    "zoom": (0.93, 1.07),
    "shift_x": (-0.05, 0.05),
    "shift_y": (-0.05, 0.05),
    "smile": (-0.35, 0.60),
    "open": (0.0, 0.05),
    "lids": (0.55, 1.0),
    "brow_raise": (-0.02, 0.03),
    "light_angle": (0.0, 6.283),
    "light": (0.0, 0.30),
    "ambient": (0.75, 1.12),
    "noise": (0.0, 0.012),
}


def split_identities(num: int) -> tuple[range, range]:
    """Return the identities to train on and those to test on, of `num`; at least two of each."""
    num_test = max(2, round(num * HELD_OUT))
    return range(num - num_test), range(num - num_test, num)


def draw_faces(
    identities: range, num_images: int, seed: int, size: int = FACE
) -> Iterator[tuple[int, Array]]:
    """Yield (identity, (num_images, size, size, 3) uint8), the same for the same arguments.

    Every image has a generator of its own, seeded by (seed, identity, image).
    """
    for identity in identities:
        fixed = _draw(default_rng([seed, identity]), _IDENTITY) | _colours(
            default_rng([seed, identity, 0, 1])
        )
        images = [
            _render(fixed, default_rng([seed, identity, 1, image]), size)
            for image in range(num_images)
        ]
        yield identity, np.stack(images)


def _draw(random: Generator, ranges: dict[str, tuple[float, float]]) -> Shapes:
    return {name: np.float32(random.uniform(low, high)) for name, (low, high) in ranges.items()}


def _colours(random: Generator) -> Shapes:
    colours: Shapes = {
        name: _mixed(random, palette)
        for name, palette in (("skin", _SKIN), ("hair", _HAIR), ("iris", _EYES))
    }
    moles = random.uniform((-0.42, -0.30, 0.012), (0.42, 0.62, 0.030), (_MOLES, 3))
    return colours | {"moles": moles[: random.integers(0, _MOLES + 1)].astype(np.float32)}


def _mixed(random: Generator, palette: Array) -> Array:
    """Return a colour between those of the palette, mostly near one of them."""
    weights = random.dirichlet(np.full(len(palette), 0.5))
    mixed = weights @ palette + random.uniform(-0.04, 0.04, 3)
    return np.clip(mixed, 0.02, 0.98).astype(np.float32)


def _render(face: Shapes, random: Generator, size: int) -> Array:
    """Return one image, (size, size, 3) uint8."""
    f = face | _draw(random, _VARIATION)
    top, bottom = (random.uniform(0.1, 0.9, 3).astype(np.float32) for _ in range(2))
    y0, x0 = (np.mgrid[:size, :size].astype(np.float32) + 0.5) * (2 / size) - 1
    cos, sin = np.cos(f["roll"]) / f["zoom"], np.sin(f["roll"]) / f["zoom"]
    x = cos * (x0 - f["shift_x"]) + sin * (y0 - f["shift_y"])
    y = -sin * (x0 - f["shift_x"]) + cos * (y0 - f["shift_y"])
    share = ((y0 + 1) / 2)[..., None]
    image = top * (1 - share) + bottom * share
    for colour, mask in _layers(f, x, y):
        image = image * (1 - mask[..., None]) + colour * mask[..., None]
    towards = np.cos(f["light_angle"]) * x0 + np.sin(f["light_angle"]) * y0
    image = image * (f["ambient"] * (1 + f["light"] * towards))[..., None]
    image = image + f["noise"] * random.standard_normal(image.shape, dtype=np.float32)
    return np.asarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8))


def _layers(f: Shapes, x: Array, y: Array) -> Iterator[tuple[Array, Array]]:
    """Yield (colour, mask (H, W)) from the back to the front."""
    skin, hair = f["skin"], f["hair"]
    dark = skin * 0.72
    volume = 1 + f["hair_side"]
    strands = 0.85 + 0.15 * np.sin(f["strands"] * (x + f["parting"] * y))
    hair = hair * strands[..., None]
    yield hair, _oval(x, y + 0.10, f["width"] * volume * 1.08, f["height"] * 1.02)
    yield dark, _oval(x, y - 0.9, f["width"] * 0.55, 0.45, 3.0)  # the neck
    inside = _oval(x, y, f["width"], f["height"], f["jaw"])
    yield skin, inside
    yield hair, inside * _edge(y - f["hairline"] + 0.25 * x * x)
    yield hair * 0.9, inside * _edge(0.55 - y - 0.2 * x * x) * max(0.0, float(f["beard"]))
    # What lies in the face moves with the head's turn, more than its outline.
    x, y = x - f["yaw"], y - f["pitch"]
    for side in (-1.0, 1.0):
        yield from _eye(f, x - side * f["eye_apart"] * (1 - side * f["yaw"]), y, side)
    for left, down, radius in f["moles"]:
        yield skin * 0.45, _oval(x - left, y - down, radius, radius)
    fold = np.abs(x) - f["cheek"] - 0.35 * (y - 0.3)
    yield dark, 0.6 * _oval(fold, y - 0.3, 0.012, 0.14)
    yield from _nose(f, x - 0.4 * f["yaw"], y, dark)
    yield from _mouth(f, x, y)


def _eye(f: Shapes, x: Array, y: Array, side: float) -> Iterator[tuple[Array, Array]]:
    size, lids = f["eye_size"], f["lids"]
    tilted = y - f["eye_y"] + side * f["eye_slant"] * x
    white = _oval(x, tilted, size * 1.5, size * 0.75 * lids)
    yield np.float32(0.95) * np.ones(3, np.float32), white
    yield f["iris"], white * _oval(x, tilted, size * 0.62, size * 0.62)
    yield np.full(3, 0.03, np.float32), white * _oval(x, tilted, size * 0.28, size * 0.28)
    yield (
        np.full(3, 0.05, np.float32),
        _oval(x, tilted + size * 0.75 * lids, size * 1.4, f["lashes"]),
    )
    brow = tilted + f["brow_up"] + f["brow_raise"] + side * f["brow_slant"] * x
    yield f["hair"] * 0.8, _oval(x, brow, size * 1.9, f["brow_thick"], 4.0)


def _nose(f: Shapes, x: Array, y: Array, dark: Array) -> Iterator[tuple[Array, Array]]:
    tip = f["eye_y"] + f["nose_long"] + 0.06
    yield dark, 0.5 * _oval(x, y - (tip + f["eye_y"]) / 2, f["nose_wide"] * 0.35, f["nose_long"])
    yield dark * 0.8, 0.8 * _oval(x, y - tip, f["nose_wide"], 0.028)


def _mouth(f: Shapes, x: Array, y: Array) -> Iterator[tuple[Array, Array]]:
    bent = y - f["mouth_y"] + f["smile"] * (x * x - 0.03)
    wide = f["mouth_wide"] * (1 + 0.25 * f["smile"])
    red = f["skin"] * np.array((0.85, 0.45, 0.45), np.float32)
    yield red, _oval(x, bent, wide, f["lips"] + f["open"])
    inner = _oval(x, bent, wide * 0.8, 0.006 + f["open"] * 0.7)
    yield np.full(3, 0.12, np.float32), inner


def _oval(x: Array, y: Array, wide: float, high: float, power: float = 2.0) -> Array:
    """Return a soft superellipse around the origin, 1 inside."""
    across, down = np.square(x / wide), np.square(y / high)
    if power == 2:
        radius = np.sqrt(across + down)
    else:
        radius = (across ** (power / 2) + down ** (power / 2)) ** np.float32(1 / power)
    return _edge((radius - 1) * np.minimum(wide, high))


def _edge(distance: Array) -> Array:
    """Return 1 where `distance` is negative, 0 where it is positive, softly."""
    return 1 / (1 + np.exp(np.clip(distance / _SOFT, -30, 30)))
