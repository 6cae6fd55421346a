"""Camouflaged objects that the project draws itself: an object of its surroundings' own texture.

A scene is a sum of random waves over a soft relief. Within an outline of random shape the same
waves go on with another phase, at another scale and in another colour, each a little: that is all
there is to see. `difficulty` says how little: at 0 the object is plain, at 1 there is nothing.
"""

from __future__ import annotations

import numpy as np

_NUM_WAVES = 6
_NUM_BUMPS = 5
_LOW_PX, _HIGH_PX = 5.0, 14.0
_PHASE, _SCALE, _COLOUR = np.pi, 1.2, 0.5
"""What an object at difficulty 0 differs by at most: radians, log of the wavelength's factor, full
scale of a colour."""
_LEAST = 0.4  # of each of them that every object has
_NOISE = 0.02


def draw_scene(
    size: int, difficulty: float, seed: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (size, size, 3) uint8 and its mask, (size, size) uint8 of 0 and 255.

    The same for the same arguments. `difficulty` is from 0 to 1.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float64)
    inside = _outline(rows / size, columns / size, random)
    away = (1 - difficulty) * random.uniform(_LEAST, 1, 3) * random.choice([-1.0, 1.0], 3)
    waves = _waves(random)
    scene = _texture(rows, columns, waves, 0.0, 1.0)
    hidden = _texture(rows, columns, waves, away[0] * _PHASE, np.exp(away[1] * _SCALE))
    shade = np.where(inside, hidden, scene)
    base, tint = random.uniform(0.35, 0.6, 3), random.uniform(0.1, 0.25, 3)
    colour = base + tint * shade[:, :, None]
    direction = random.normal(0, 1, 3)
    shift = away[2] * _COLOUR * direction / np.linalg.norm(direction)
    colour = colour + inside[:, :, None] * shift
    colour = colour + _relief(rows / size, columns / size, random)[:, :, None]
    colour = colour + random.normal(0, _NOISE, colour.shape)
    pixels = (np.clip(colour, 0, 1) * 255).round().astype(np.uint8)
    return pixels, inside.astype(np.uint8) * 255


def _waves(random: np.random.Generator) -> np.ndarray:
    """Return (waves, 4): two frequencies in radians per px, phase, height."""
    length = random.uniform(_LOW_PX, _HIGH_PX, _NUM_WAVES)
    main = random.uniform(0, np.pi)
    angle = main + random.normal(0, 0.5, _NUM_WAVES)
    phase = random.uniform(0, 2 * np.pi, _NUM_WAVES)
    height = random.uniform(0.5, 1.0, _NUM_WAVES) / np.sqrt(_NUM_WAVES)
    frequency = 2 * np.pi / length
    return np.stack([frequency * np.sin(angle), frequency * np.cos(angle), phase, height], 1)


def _texture(
    rows: np.ndarray, columns: np.ndarray, waves: np.ndarray, phase: float, scale: float
) -> np.ndarray:
    parts = (
        height * np.cos((down * rows + right * columns) / scale + start + phase)
        for down, right, start, height in waves
    )
    return np.asarray(sum(parts))


def _outline(rows: np.ndarray, columns: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a mask of about a tenth to a third of the scene: a circle with waves in its rim."""
    centre, radius = random.uniform(0.25, 0.75, 2), random.uniform(0.14, 0.3)
    down, right = rows - centre[0], columns - centre[1]
    turn = np.arctan2(down, right)
    rim = np.full_like(turn, radius)
    for number in range(2, 6):
        size = random.uniform(0, 0.25) / number * radius * 2
        rim += size * np.cos(number * turn + random.uniform(0, 2 * np.pi))
    return np.asarray(np.hypot(down, right) < rim)


def _relief(rows: np.ndarray, columns: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return soft light and shadow over the whole scene, which says nothing of the object."""
    relief = np.zeros_like(rows)
    for _ in range(_NUM_BUMPS):
        centre, width = random.uniform(0, 1, 2), random.uniform(0.15, 0.4)
        gone = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * width**2)
        relief += random.uniform(-0.12, 0.12) * np.exp(-gone)
    return relief
