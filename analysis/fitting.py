"""Extrapolation of a learning curve: averaged power laws, fitted where the curve is now.

The family is POW3, `a - b x^-c`, written as `level + slope * g(x, c)` with the Box-Cox function
`g(x, c) = (1 - x^-c) / c` and x = 1 at the last evaluation: `level` is the value now, `slope` the
gain for each unit of log step now, and c = 0 is the log-linear trend. For each c the two others
follow by weighted least squares (variable projection), so a fit is a few sums over a grid of c.
The c are averaged by their likelihood, and a slope that cannot be told from 0 is shrunk to it.

How much the past counts decides more than the family: an evaluation has the weight x^p, and the
result is the median over several p, from the whole curve to its last fifth. Anchored: what the
fits miss at the last evaluations is added to them (curves.md; Domhan 2015; LCDB 1.0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EXPONENTS = np.concatenate([[0.0], np.geomspace(0.1, 2.0, 16)])  # (c,)
RECENCIES = np.array([1.0, 2.0, 3.0, 4.0, 6.0])  # (p,)
_SHRINK = 3.0
"""A slope this many times its squared standard error, squared, is halved."""
_ANCHORS = 3
"""Evaluations at the end whose median residual the curve is moved by."""
_GAIN_SHARE = 0.3
"""Share of the extrapolated gain that counts as doubt in the family itself."""
_FLOOR = 5e-4
"""Least doubt, as a share of the range seen."""
_MOST_POINTS = 400
_TINY = 1e-300


@dataclass(frozen=True)
class Extrapolation:
    """What a curve does next, by fits alone; larger is better, in the unit of the metric."""

    level: float
    """The value now, without noise."""
    gains: Floats  # (targets,), not negative
    scales: Floats  # (targets,): how far off the prediction may be; bands are multiples of it


@dataclass(frozen=True)
class _Fits:
    """For each recency p and exponent c."""

    level: Floats  # (p, c)
    slope: Floats  # (p, c)
    slope_sd: Floats  # (p, c)
    residual_sd: Floats  # (p, c)
    weight: Floats  # (p, c), adds up to 1 over c


def extrapolate(steps: Floats, goodness: Floats, targets: Floats) -> Extrapolation:
    """Fit a curve of at least 3 rising positive steps and return it at `targets` after the last.

    `goodness` are values of which more is better. Of very long curves every k-th point from the
    end is used. The result scales, and `level` moves, with the values.
    """
    every = -(-len(steps) // _MOST_POINTS)
    x, y = steps[::-1][::every][::-1], goodness[::-1][::every][::-1]
    fits = _fit(x / x[-1], y)
    ahead = _box_cox(targets / x[-1])  # (c, targets)
    gains = np.einsum("pc,pc,ct->pt", fits.weight, fits.slope, ahead)
    deviation = (fits.slope[:, :, None] * ahead - gains[:, None, :]) ** 2
    slope_var = np.einsum(
        "pc,pct->pt", fits.weight, deviation + (fits.slope_sd[:, :, None] * ahead) ** 2
    )
    noise = np.median(np.sum(fits.weight * fits.residual_sd, axis=1))
    gain = np.maximum(0.0, np.median(gains, axis=0))
    parts = (
        noise**2,
        np.median(slope_var, axis=0),
        np.var(gains, axis=0),
        (_GAIN_SHARE * gain) ** 2,
        (_FLOOR * np.ptp(y)) ** 2,
    )
    level = float(np.median(np.sum(fits.weight * fits.level, axis=1)))
    return Extrapolation(level, gain, np.sqrt(sum(parts, start=np.zeros(len(targets)))))


def _fit(x: Floats, y: Floats) -> _Fits:
    weights = x[None, :] ** RECENCIES[:, None]  # (p, n)
    weights /= weights.sum(axis=1, keepdims=True)
    spare = np.maximum(1.0, 1.0 / np.sum(weights**2, axis=1) - 2.0)[:, None]  # (p, 1)
    basis = _box_cox(x)  # (c, n)
    mean_basis, mean_y = weights @ basis.T, (weights @ y)[:, None]  # (p, c), (p, 1)
    centred = basis[None] - mean_basis[:, :, None]  # (p, c, n)
    off = y[None] - mean_y  # (p, n)
    power = np.einsum("pn,pcn->pc", weights, centred**2)
    slope = np.einsum("pn,pcn->pc", weights * off, centred) / np.maximum(power, _TINY)
    left = off[:, None, :] - slope[:, :, None] * centred  # (p, c, n): the residuals
    squares = np.einsum("pn,pcn->pc", weights, left**2)
    total = np.sum(weights * off**2, axis=1)[:, None]
    log_likelihood = -0.5 * (spare + 2.0) * np.log(squares + 1e-6 * total + _TINY)
    weight = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    slope_var = squares / spare / np.maximum(power, _TINY)
    anchor = np.median(left[:, :, -_ANCHORS:], axis=2)
    return _Fits(
        level=mean_y - slope * mean_basis + anchor,
        slope=slope * slope**2 / (slope**2 + _SHRINK * slope_var + _TINY),
        slope_sd=np.sqrt(slope_var),
        residual_sd=np.sqrt(squares * (1.0 + 2.0 / spare)),
        weight=weight / weight.sum(axis=1, keepdims=True),
    )


def _box_cox(x: Floats) -> Floats:
    """Return (1 - x^-c) / c for each exponent, log x for 0: (c, x)."""
    log = np.log(x)[None, :]
    positive = EXPONENTS[1:, None]
    return np.concatenate([log, -np.expm1(-positive * log) / positive])
