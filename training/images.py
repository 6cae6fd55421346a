"""Labelled images in memory, and what is done to a batch of them on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from training.full_precision import full_precision
from training.residence import Feed, settle
from training.settings import Augment

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, as timm and torchvision have them
_STD = (0.229, 0.224, 0.225)


@lru_cache(maxsize=64)
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return a number for each channel, (C, 1, 1) on `device`, where it is sent once.

    In a step that would be waited for, and could not be recorded.
    """
    with torch.inference_mode(False):  # whoever comes first, autograd may keep it
        return torch.tensor(values, device=device)[:, None, None]


def normalised(images: Tensor, *, channels_last: bool) -> Tensor:
    """Return (B, 3, H, W) images in [0, 1] with ImageNet's mean and spread taken out."""
    found = (images - per_channel(_MEAN, images.device)) / per_channel(_STD, images.device)
    return found.contiguous(memory_format=torch.channels_last) if channels_last else found


@dataclass
class Images:
    """Images with labels, on one device; pixels that do not fit there stay on the host."""

    pixels: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64
    _feed: Feed | None = field(default=None, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def to(self, device: str) -> None:
        """Move to `device`; nothing happens where they are there already. See `residence`."""
        self.pixels, self._feed = settle(self.pixels, device)
        self.labels = self.labels.to(device)

    def take(self, chosen: Tensor) -> Tensor:
        """Return the pixels of `chosen`, (B,) int64, as (B, C, H, W) uint8 on their device."""
        return self.pixels[chosen] if self._feed is None else self._feed.take(chosen)

    def expect(self, coming: Tensor | None) -> None:
        """Begin to send `coming` to the device, where pixels are on the host; see `Expect`."""
        if self._feed is not None:
            self._feed.turn(coming)


@dataclass(frozen=True)
class LabelledData:
    """One data set: training and validation images of the same classes."""

    train: Images
    val: Images
    classes: tuple[str, ...]
    """Class names in the order of the labels."""
    digest: str | None = None
    """SHA-256 of all pixels, where whoever loaded them knows it."""


def prepare(
    pixels: Tensor,
    *,
    mean: float | Tensor,
    std: float | Tensor,
    image_size: int | None,
    channels_last: bool,
) -> Tensor:
    """Turn (B, C, H, W) uint8 into normalised float of the asked size."""
    images = pixels.float().div_(255).sub_(mean).div_(std)
    if image_size is not None and image_size != images.shape[-1]:
        images = F.interpolate(
            images, size=(image_size, image_size), mode="bilinear", antialias=True
        )
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    return images


NUM_DRAWS = 5
"""Random numbers that `augment` wants for each image."""


@full_precision
def augment(images: Tensor, draws: Tensor, config: Augment) -> Tensor:
    """Apply one random affine map to each image, in one pass on the device.

    `images` is (B, C, H, W) float, `draws` (B, NUM_DRAWS) uniform in [0, 1). Pixels from outside
    repeat the border.
    """
    if not (config.shift or config.zoom or config.rotate_deg or config.flip):
        return images
    signed = draws * 2 - 1  # (B, 5) in [-1, 1)
    angle = signed[:, 0] * math.radians(config.rotate_deg)
    scale = 1 / (1 + signed[:, 1] * config.zoom)
    mirror = torch.where((draws[:, 2] < 0.5) & config.flip, -1.0, 1.0)
    shift = signed[:, 3:5] * (2 * config.shift)  # grid coordinates span [-1, 1]
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = (
        torch.stack([cos * mirror, -sin, shift[:, 0]], 1),
        torch.stack([sin * mirror, cos, shift[:, 1]], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
