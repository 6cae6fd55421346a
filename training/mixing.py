"""Mixup and CutMix on the device, with pairs that do not hang on how a batch is split.

Each example is mixed with the one before it in the step's whole batch, and the whole batch has one
share: mixup (Zhang et al., arXiv 1710.09412) blends the two images, CutMix (Yun et al., arXiv
1905.04899) cuts a box out of one and fills it from the other. Where both are on, each batch takes
one of them with probability one half, as timm does. The partner's index and its own random numbers
travel with the example, so that micro-batches and workers train what one process would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from training.images import NUM_DRAWS
from training.settings import Augment

_PARTNER = 2 * NUM_DRAWS
_BATCH = 4
"""Random numbers of a whole batch: share, which of the two, middle of the box in x and y."""
_QUANTILES = 4096


@dataclass(frozen=True)
class Mixed:
    """What the images of a batch show."""

    first: Tensor
    """(B,) int64, the examples' own labels."""
    second: Tensor
    """(B,) int64, their partners' labels."""
    share: Tensor
    """(B,) share in [0, 1] of the own label."""


def draw(chosen: Tensor, config: Augment, generator: torch.Generator) -> Tensor:
    """Return the random numbers of a step's whole batch `chosen`, (B,) int64.

    The first NUM_DRAWS columns are uniform in [0, 1), for the augmentation. Where images are mixed,
    the partner's numbers, its index and the numbers of the batch follow, in float64.
    """
    device = generator.device
    own = torch.rand(len(chosen), NUM_DRAWS, generator=generator, device=device)
    if not config.mixes:
        return own
    whole = torch.rand(_BATCH, generator=generator, device=device).expand(len(chosen), _BATCH)
    partner = chosen.roll(1).double().unsqueeze(1)  # float64 holds every index exactly
    return torch.cat([own, own.roll(1, 0), partner, whole], dim=1)


def own_draws(draws: Tensor) -> Tensor:
    """Return the (B, NUM_DRAWS) numbers for the augmentation of the examples themselves."""
    return draws[:, :NUM_DRAWS].float()


def partner_draws(draws: Tensor) -> Tensor:
    """Return the (B, NUM_DRAWS) numbers for the augmentation of their partners."""
    return draws[:, NUM_DRAWS:_PARTNER].float()


def partners(draws: Tensor) -> Tensor:
    """Return the (B,) int64 training examples with which those of a batch are mixed."""
    return draws[:, _PARTNER].long()


def mix(images: Tensor, others: Tensor, draws: Tensor, config: Augment) -> tuple[Tensor, Tensor]:
    """Mix two batches of images, (B, C, H, W) float; return images and (B,) share of the first."""
    uniform, kind, x, y = draws[:, _PARTNER + 1 :].float().unbind(1)
    blended = quantiles(config.mixup, uniform) if config.mixup else torch.ones_like(uniform)
    weight = blended.reshape(-1, 1, 1, 1)
    if config.cutmix:
        height, width = images.shape[-2:]
        outside = _outside(quantiles(config.cutmix, uniform), x, y, height, width)
        cut = (kind < 0.5) if config.mixup else torch.ones_like(kind, dtype=torch.bool)
        weight = torch.where(cut.reshape(-1, 1, 1, 1), outside, weight)
        blended = torch.where(cut, outside.mean((1, 2, 3)), blended)
    return torch.lerp(others, images, weight), blended


def _outside(share: Tensor, x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    """Return (B, 1, H, W), 0 in a box of about 1 - `share` of the image and 1 outside.

    As in the paper, the box is cut at the border; what is left of it is its real share.
    """
    side = (1 - share).sqrt()
    rows, columns = (
        _within(middle, side, num).reshape(-1, 1, *shape)
        for middle, num, shape in ((y, height, (height, 1)), (x, width, (1, width)))
    )
    return 1 - (rows & columns).float()


def _within(middle: Tensor, side: Tensor, num: int) -> Tensor:
    """Return (B, num) whether each of `num` px lies in the box's extent in one direction."""
    half = (side * num / 2).floor().unsqueeze(1)
    centre = (middle * num).floor().unsqueeze(1)
    at = torch.arange(num, device=middle.device)
    return (at >= centre - half) & (at < centre + half)


def quantiles(alpha: float, uniform: Tensor) -> Tensor:
    """Return Beta(alpha, alpha) numbers of the same shape as `uniform` numbers in [0, 1).

    By the inverse of the distribution function, in a table: nothing is rejected and drawn again,
    so a device never waits, and the CPU and a GPU agree. The table is even in the arc sine of the
    root, which is dense where the inverse is steep; the error is below 2e-4 for every alpha.
    """
    table = _table(alpha, str(uniform.device))
    at = torch.asin(uniform.double().sqrt()) * (2 / math.pi * _QUANTILES)
    low = at.long().clamp(max=_QUANTILES - 1)
    return torch.lerp(table[low], table[low + 1], at - low).float()


@lru_cache(maxsize=64)
def _table(alpha: float, device: str) -> Tensor:
    from scipy.special import betaincinv

    at = torch.linspace(0, 1, _QUANTILES + 1, dtype=torch.float64)
    uniform = torch.sin(at * (math.pi / 2)) ** 2
    return torch.from_numpy(betaincinv(alpha, alpha, uniform.numpy())).to(device)
