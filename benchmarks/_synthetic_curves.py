"""Curves made by formulas that the forecast does not fit, or not alone, with known noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.curves import Curve, Floats

_STEPS = 1000.0


def _power(x: Floats, draw: np.random.Generator) -> Floats:
    return draw.uniform(40, 60) * (1 + draw.uniform(10, 80) * x) ** -draw.uniform(0.4, 1.2)


def _exponential(x: Floats, draw: np.random.Generator) -> Floats:
    return draw.uniform(20, 50) * np.exp(-draw.uniform(1.5, 6) * x)


def _weibull(x: Floats, draw: np.random.Generator) -> Floats:
    return draw.uniform(30, 60) * np.exp(-draw.uniform(1.5, 4) * x ** draw.uniform(0.3, 0.9))


def _sigmoid(x: Floats, draw: np.random.Generator) -> Floats:
    """MMF4: slow at first, then fast, then slow again."""
    return draw.uniform(30, 60) / (1 + draw.uniform(5, 40) * x ** draw.uniform(1.0, 1.6))


def _plateau(x: Floats, draw: np.random.Generator) -> Floats:
    """Falls by a power and then stays."""
    return _power(np.minimum(x, draw.uniform(0.1, 0.7)), draw)


def _dips(x: Floats, draw: np.random.Generator) -> Floats:
    """Is worse for one or two evaluations, several times."""
    left = _power(x, draw)
    for place in draw.integers(2, len(x) - 3, size=len(x) // 15 + 1):
        left[place : place + draw.integers(1, 3)] += draw.uniform(2, 10)
    return left


FAMILIES: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "power": _power,
    "exponential": _exponential,
    "weibull": _weibull,
    "sigmoid": _sigmoid,
    "plateau": _plateau,
    "dips": _dips,
}
"""What is still missing, in points, at a share of the run."""


def synthetic_curves(num_runs: int, num_points: int, seed: int) -> dict[str, list[Curve]]:
    """Return family -> runs of it: in points of a metric of which more is better, with noise."""
    return {
        name: [
            _curve(
                f"{name}/{number}", family, num_points, np.random.default_rng([seed, at, number])
            )
            for number in range(num_runs)
        ]
        for at, (name, family) in enumerate(FAMILIES.items())
    }


def _curve(
    name: str,
    family: Callable[[Floats, np.random.Generator], Floats],
    num_points: int,
    draw: np.random.Generator,
) -> Curve:
    share = np.arange(1, num_points + 1) / num_points
    noise = draw.choice([0.02, 0.1, 0.3, 0.8]) * draw.standard_normal(num_points)
    return Curve(name, _STEPS * share, draw.uniform(60, 95) - family(share, draw) + noise)
