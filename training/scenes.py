"""Labelled scenes in memory, variants of them by a strategy, and what is done to a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from training.full_precision import full_precision
from training.images import per_channel
from training.residence import Feed, settle
from training.settings import Augment
from training.street_layout import IGNORED

NUM_DRAWS = 9
"""Random numbers of an image: 4 for its place, 3 for its colours, 2 for its variant."""
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma


@dataclass
class Scenes:
    """Images with a class for each pixel; on the device, or on the host where they do not fit."""

    pixels: Tensor  # (N, H, W, 4) uint8: red, green, blue, class
    _feed: Feed | None = field(default=None, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.pixels)

    def to(self, device: str) -> None:
        """Move to `device` where they fit; else stay on the host. See `residence`."""
        self.pixels, self._feed = settle(self.pixels, device)

    def expect(self, coming: Tensor | None) -> None:
        """Begin to send `coming` to the device, where pixels are on the host; see `Expect`."""
        if self._feed is not None:
            self._feed.turn(coming)

    def take(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return images (B, 3, H, W) float in [0, 1] and classes (B, H, W) int64 of `chosen`."""
        found = self.pixels[chosen] if self._feed is None else self._feed.take(chosen)
        return found[..., :3].permute(0, 3, 1, 2).float() / 255, found[..., 3].long()


@dataclass
class Variants:
    """What a strategy made of the training images: one or more variants of each."""

    scenes: Scenes
    first: Tensor  # (N + 1,) int64: the variants of image i are first[i] to first[i + 1]

    def pick(self, chosen: Tensor, draws: Tensor) -> Tensor:
        """Return a variant of each image `chosen`, (B,) int64, by uniform `draws` (B,)."""
        begin, end = self.first[chosen], self.first[chosen + 1]
        return torch.minimum(begin + (draws * (end - begin)).long(), end - 1)


@dataclass
class StreetData:
    """One data set with the strategy that is mixed in, if any."""

    train: Scenes
    val: Scenes
    classes: tuple[str, ...]
    domains: tuple[str, ...]
    """Names of the domains of validation images; empty where there are none."""
    domain_of: Tensor  # (num_val,) int64: place in `domains`; empty where there are none
    digest: str
    """SHA-256 of all pixels, classes and variants."""
    variants: Variants | None = None

    def to(self, device: str) -> None:
        """Move what is used in training and evaluation to the device."""
        self.train.to(device)
        self.val.to(device)
        if self.variants is not None:
            self.variants.scenes.to(device)
            self.variants.first = self.variants.first.to(device)

    def mixed(self, chosen: Tensor, draws: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """Return images and classes of `chosen`; each is a variant with probability `rate`.

        `draws` is (B, 2), uniform in [0, 1).
        """
        if self.variants is None or rate == 0:
            return self.train.take(chosen)
        images, classes = self.variants.scenes.take(self.variants.pick(chosen, draws[:, 1]))
        if rate == 1:
            return images, classes
        real, real_classes = self.train.take(chosen)
        swapped = draws[:, 0] < rate  # (B,)
        return (
            torch.where(swapped[:, None, None, None], images, real),
            torch.where(swapped[:, None, None], classes, real_classes),
        )


def coloured(images: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Return images in [0, 1] with other brightness, contrast and saturation.

    Each is multiplied by 1 - strength to 1 + strength; `draws` is (B, 3), uniform in [0, 1).
    """
    if not strength:
        return images
    factors = 1 + strength * (2 * draws - 1)  # (B, 3)
    bright, contrast, colour = (part[:, None, None, None] for part in factors.unbind(1))
    images = images * bright
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    grey = (images * per_channel(_GREY, images.device)).sum(1, keepdim=True)
    return (grey + (images - grey) * colour).clamp(0, 1)


@full_precision
def cut_out(
    images: Tensor, classes: Tensor, draws: Tensor, size: tuple[int, int], augment: Augment
) -> tuple[Tensor, Tensor]:
    """Return a random crop of `size` (height, width) of each image, scaled and mirrored.

    `draws` is (B, 4), uniform in [0, 1): scale, mirror, place down and across. At scale 2 the crop
    shows half of what it does at 1. What lies outside of an image repeats its border, and its class
    is `IGNORED`.
    """
    height, width = images.shape[-2:]
    if size == (height, width) and not (augment.zoom or augment.flip or augment.shift):
        return images, classes
    scale = 1 + augment.zoom * (2 * draws[:, 0] - 1)
    mirror = torch.where((draws[:, 1] < 0.5) & augment.flip, -1.0, 1.0)
    down, across = size[0] / height / scale, size[1] / width / scale  # shares of the image
    zero = torch.zeros_like(scale)
    rows = (
        torch.stack([across * mirror, zero, _place(across, draws[:, 3], augment.shift)], 1),
        torch.stack([zero, down, _place(down, draws[:, 2], augment.shift)], 1),
    )
    shape = [len(images), 3, *size]
    grid = F.affine_grid(torch.stack(rows, 1), shape, align_corners=False)
    cut = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    shifted = torch.where(classes == IGNORED, 0, classes + 1).float()[:, None]
    found = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[:, 0].long()
    return cut, torch.where(found == 0, IGNORED, found - 1)


def _place(share: Tensor, draws: Tensor, shift: float) -> Tensor:
    """Return the middle of a crop in [-1, 1]: anywhere inside, and `shift` of the image beyond."""
    return (2 * draws - 1) * ((1 - share).clamp(min=0) + 2 * shift)
