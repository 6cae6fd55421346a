"""Street scenes that the project draws itself, adverse weather, and strategies of any quality.

A scene is a street in perspective with sky, houses, trees, pavement, cars and people. Weather is
drawn over it and leaves the labels as they are. A strategy makes a variant of a training image, as
an image generator or an augmentation would: `gen_real` draws the very weather of the adverse
domains, `cut_mix` pastes a part of another scene with its labels, `poor` spoils colours and shape,
so that labels no longer fit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
Seed = tuple[int, ...]
Scene = tuple[Floats, Labels]
"""An image, (height, width, 3) in [0, 1], and its classes, (height, width)."""

CLASSES = ("road", "pavement", "building", "vegetation", "sky", "car", "person")
_ROAD, _PAVEMENT, _BUILDING, _TREE, _SKY, _CAR, _PERSON = range(len(CLASSES))
BORDER = 255
"""Label of the outermost pixels, which count for nothing, as in real label maps."""
_COLOURS = np.array(
    [
        (0.33, 0.33, 0.35),
        (0.52, 0.48, 0.47),
        (0.50, 0.42, 0.36),
        (0.25, 0.40, 0.20),
        (0.62, 0.74, 0.88),
        (0.45, 0.20, 0.22),
        (0.60, 0.45, 0.40),
    ]
)
_SPREAD = np.array([0.05, 0.06, 0.12, 0.08, 0.08, 0.22, 0.22])
"""By how much the colour of a class differs from thing to thing."""
_NOISE = 0.03


def draw_street(size: tuple[int, int], seed: Seed) -> Scene:
    """Return a clear scene, (height, width, 3) in [0, 1], and its classes, (height, width)."""
    random = np.random.default_rng(seed)
    height, width = size
    down, across = np.mgrid[0:height, 0:width].astype(np.float64)
    down, across = (down + 0.5) / height, (across + 0.5) / width
    horizon, vanishing = random.uniform(0.32, 0.48), random.uniform(0.35, 0.65)
    canvas = _Canvas(size, random)
    canvas.paint(np.full(size, True), _SKY)
    _houses(canvas, across, down, horizon, random)
    depth = np.clip((down - horizon) / (1 - horizon), 0, 1)
    aside = np.abs(across - vanishing - (down - horizon) * random.uniform(-0.2, 0.2))
    canvas.paint(down > horizon, _PAVEMENT)
    canvas.paint((down > horizon) & (aside < 0.04 + random.uniform(0.3, 0.5) * depth), _ROAD)
    for _ in range(random.integers(1, 4)):
        _tree(canvas, across, down, horizon, random)
    for _ in range(random.integers(1, 5)):
        _thing(canvas, across, down, horizon, random, _CAR, (1.5, 2.0))
    for _ in range(random.integers(1, 5)):
        _thing(canvas, across, down, horizon, random, _PERSON, (0.35, 0.5))
    scene = canvas.scene + random.normal(0, _NOISE, (height, width, 3))
    canvas.labels[[0, -1]] = BORDER
    return np.clip(scene, 0, 1), canvas.labels


class _Canvas:
    """A scene in the making: what is painted last covers what was there."""

    def __init__(self, size: tuple[int, int], random: np.random.Generator) -> None:
        self.scene = np.zeros((*size, 3))
        self.labels: Labels = np.zeros(size, np.uint8)
        self._random = random

    def paint(self, where: npt.NDArray[np.bool_], kind: int) -> None:
        """Paint one thing in a colour of its own."""
        colour = _COLOURS[kind] + self._random.normal(0, _SPREAD[kind], 3)
        self.scene[where] = np.clip(colour, 0.02, 0.98)
        self.labels[where] = kind


def _houses(
    canvas: _Canvas, across: Floats, down: Floats, horizon: float, random: np.random.Generator
) -> None:
    left = 0.0
    while left < 1:
        right = left + random.uniform(0.1, 0.3)
        if random.random() < 0.8:
            top = random.uniform(0.02, horizon - 0.05)
            where = (across >= left) & (across < right) & (down > top) & (down <= horizon)
            canvas.paint(where, _BUILDING)
        left = right


def _tree(
    canvas: _Canvas, across: Floats, down: Floats, horizon: float, random: np.random.Generator
) -> None:
    middle, radius = random.uniform(0, 1), random.uniform(0.06, 0.14)
    rim = radius * (1 + 0.25 * np.cos(random.integers(3, 7) * np.arctan2(down, across)))
    crown = np.hypot(across - middle, (down - horizon + radius) / 1.3) < rim
    canvas.paint(crown, _TREE)


def _thing(
    canvas: _Canvas,
    across: Floats,
    down: Floats,
    horizon: float,
    random: np.random.Generator,
    kind: int,
    shape: tuple[float, float],
) -> None:
    """Paint a car or a person: nearer ones stand lower and are larger."""
    near = random.uniform(0.15, 1)
    foot, middle = horizon + near * (0.95 - horizon), random.uniform(0.05, 0.95)
    tall = 0.06 + 0.2 * near
    wide = tall * random.uniform(*shape)
    where = (np.abs(across - middle) < wide / 2) & (down < foot) & (down > foot - tall)
    canvas.paint(where, kind)


def fog(scene: Floats, random: np.random.Generator, strength: float) -> Floats:
    """Return the scene in fog, which is thicker the higher it is in the picture."""
    far = np.linspace(1, 0.2, len(scene))[:, None, None]
    share = 1 - np.exp(-3 * strength * random.uniform(0.7, 1.3) * far)
    return np.asarray(scene + (random.uniform(0.7, 0.85) - scene) * share)


def rain(scene: Floats, random: np.random.Generator, strength: float) -> Floats:
    """Return the scene in rain: dark, grey, with slanted streaks."""
    grey = scene.mean(2, keepdims=True)
    dull = (scene + (grey - scene) * 0.6 * strength) * (1 - 0.4 * strength)
    height, width = scene.shape[:2]
    drops = random.random((height, width)) < 0.03 * strength
    streaks = sum(np.roll(drops, (step, step // 2), (0, 1)) for step in range(4))
    wet = np.clip(np.asarray(streaks, np.float64), 0, 1)[:, :, None]
    return np.asarray(dull + 0.35 * wet)


def night(scene: Floats, random: np.random.Generator, strength: float) -> Floats:
    """Return the scene at night: dark, blue, with a few lamps and a noisy sensor."""
    dark = scene * (1 - strength * random.uniform(0.7, 0.85)) * np.array([0.8, 0.85, 1.1])
    height, width = scene.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    for _ in range(random.integers(1, 4)):
        at = random.uniform(0, 1, 2) * (height * 0.6, width)
        gone = ((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / (0.08 * height) ** 2
        dark = dark + strength * 0.5 * np.exp(-gone)[:, :, None] * np.array([1.0, 0.9, 0.6])
    return np.asarray(dark + random.normal(0, 0.05 * strength, scene.shape))


WEATHER: dict[str, Callable[[Floats, np.random.Generator, float], Floats]] = {
    "fog": fog,
    "rain": rain,
    "night": night,
}
"""Adverse domain -> what it does to a scene of values in [0, 1], with a strength in [0, 1]."""


Variant = Callable[[Scene, Scene, str, Seed], Scene]


def adverse(scene: Scene, kind: str, seed: Seed) -> Scene:
    """Return a scene in the weather `kind`, as it is in the adverse domains."""
    random = np.random.default_rng(seed)
    return np.clip(WEATHER[kind](scene[0], random, random.uniform(0.7, 1.0)), 0, 1), scene[1]


def _gen_real(own: Scene, other: Scene, kind: str, seed: Seed) -> Scene:
    return adverse(own, kind, seed)


def _cut_mix(own: Scene, other: Scene, kind: str, seed: Seed) -> Scene:
    random = np.random.default_rng(seed)
    height, width = own[1].shape
    side = random.uniform(0.3, 0.6)
    top, left = (int(random.uniform(0, 1 - side) * length) for length in (height, width))
    box = (slice(top, top + int(side * height)), slice(left, left + int(side * width)))
    scene, labels = own[0].copy(), own[1].copy()
    scene[box], labels[box] = other[0][box], other[1][box]
    return scene, labels


def _poor(own: Scene, other: Scene, kind: str, seed: Seed) -> Scene:
    random = np.random.default_rng(seed)
    moved = np.roll(own[0], random.integers(-6, 7, 2), (0, 1))
    mixed = moved @ random.dirichlet(np.ones(3), 3).T
    return np.clip(mixed + random.normal(0, 0.15, mixed.shape), 0, 1), own[1]


STRATEGIES: dict[str, Variant] = {"gen_real": _gen_real, "cut_mix": _cut_mix, "poor": _poor}
"""Strategy -> what it makes of a training image, given another one and a kind of weather."""
OWN_LABELS = frozenset({"cut_mix"})
"""Strategies whose variants have labels of their own."""


def pixels_of(scene: Floats, labels: Labels) -> npt.NDArray[np.uint8]:
    """Return (height, width, 4) uint8: red, green, blue, class."""
    return np.dstack([(np.clip(scene, 0, 1) * 255).round().astype(np.uint8), labels])
