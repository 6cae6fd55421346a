"""Images with masks in memory, and what is done to a batch of both on the device."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from training.images import augment, prepare
from training.residence import Feed, settle
from training.settings import Augment, Settings

_MEAN, _STD = 0.45, 0.225  # of ImageNet, over its channels
_NOTHING = Augment()


@dataclass
class MaskedImages:
    """Images with one mask each, on one device, or on the host where they do not fit there."""

    pixels: Tensor  # (N, 4, S, S) uint8: red, green, blue, mask (0 or 255)
    _feed: Feed | None = field(default=None, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.pixels)

    def to(self, device: str) -> None:
        """Move to `device`; nothing happens where they are there already. See `residence`."""
        self.pixels, self._feed = settle(self.pixels, device)

    def take(self, chosen: Tensor) -> Tensor:
        """Return images and masks of `chosen`, (B,) int64, as (B, 4, S, S) uint8 on its device."""
        return self.pixels[chosen] if self._feed is None else self._feed.take(chosen)

    def expect(self, coming: Tensor | None) -> None:
        """Begin to send `coming` to the device, where pixels are on the host; see `Expect`."""
        if self._feed is not None:
            self._feed.turn(coming)

    def masks(self, chosen: Tensor) -> Tensor:
        """Return the masks of the images `chosen`, (B, 1, S, S) float, 0 or 1."""
        return self.take(chosen)[:, 3:].float() / 255

    def images(self, chosen: Tensor, settings: Settings) -> Tensor:
        """Return the images `chosen`, normalised and in the size that the settings ask for."""
        return prepare(
            self.take(chosen)[:, :3],
            mean=_MEAN,
            std=_STD,
            image_size=settings.image_size,
            channels_last=settings.compute.channels_last,
        )

    def augmented(self, chosen: Tensor, draws: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
        """Return images and masks of `chosen`, both moved by the same random map."""
        images, masks = self.images(chosen, settings), self.masks(chosen)
        if images.shape[-1] != masks.shape[-1]:
            masks = F.interpolate(masks, images.shape[-2:], mode="bilinear", antialias=True)
        if settings.augment != _NOTHING:
            moved = augment(torch.cat([images, masks], 1), draws, settings.augment)
            images, masks = moved[:, :3], moved[:, 3:]
        return images, (masks > 0.5).float()


@dataclass(frozen=True)
class MaskedData:
    """One data set: training and validation images."""

    train: MaskedImages
    val: MaskedImages
    digest: str | None = None
    """SHA-256 of all pixels and masks, where it is known."""
