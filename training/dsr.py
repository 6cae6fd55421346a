"""DSR: a convolutional network that upsamples very small faces to 112 px."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.errors import UserError
from training.layers import Layers, layers_by_pattern

FACE = 112
"""Side of a face in px: what recognisers of faces are trained for."""
RESOLUTIONS = (16, 24, 32)
"""Sides in px that are upsampled: by 7, 4.67 and 3.5."""
_HALF = FACE // 2
_SLOPE = 0.2  # nothing dies at a high LR, as it did with ReLU


class _Block(nn.Module):
    """Two convolutions around a skip connection, without BatchNorm (EDSR, arXiv 1707.02921)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor, dropout: float) -> Tensor:
        inner = F.leaky_relu(self.conv1(features), _SLOPE)
        if dropout:
            inner = F.dropout2d(inner, dropout, self.training)
        change: Tensor = self.conv2(inner)
        return features + change


class DSR(nn.Module):
    """Residual blocks at the low resolution, then two steps up to 112 px.

    What it puts out is added to the bicubic image, and begins at zero: before any training it is
    bicubic interpolation. Features are resized to 56 px and convolved (arXiv 1609.05158 would leave
    a chequerboard at the ratios 4.67 and 3.5), the last step is a pixel shuffle.
    """

    resolution: Tensor

    def __init__(self, resolution: int, *, num_blocks: int, width: int) -> None:
        """Make it for faces of `resolution` px; that is part of its state."""
        super().__init__()
        self.register_buffer("resolution", torch.tensor(resolution))
        self._side = resolution
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(num_blocks))
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.resized = nn.Conv2d(width, width, 3, padding=1)
        self.shuffled = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.out = nn.Conv2d(width, 3, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, low: Tensor, dropout: float = 0.0) -> Tensor:
        """Return (B, 3, 112, 112) from (B, 3, S, S) in [0, 1]; values may lie a little outside.

        `dropout` is the probability with which a channel of a block is dropped in training.
        """
        if low.shape[-1] != self._side:
            raise UserError(
                f"DSR was made for faces of {self._side} px and is given {low.shape[-1]} px"
            )
        first = F.leaky_relu(self.stem(low), _SLOPE)
        features = first
        for block in self.blocks:
            features = block(features, dropout)
        features = first + self.middle(features)
        features = F.interpolate(features, size=(_HALF, _HALF), mode="bilinear")
        features = F.leaky_relu(self.resized(features), _SLOPE)
        features = F.leaky_relu(F.pixel_shuffle(self.shuffled(features), 2), _SLOPE)
        details: Tensor = self.out(features)
        return bicubic(low) + details


def bicubic(low: Tensor) -> Tensor:
    """Return (B, 3, 112, 112) from (B, 3, S, S): the baseline of any super-resolution."""
    return F.interpolate(low, size=(FACE, FACE), mode="bicubic", align_corners=False)


def shrink(faces: Tensor, resolution: int) -> Tensor:
    """Return (B, 3, S, S) from (B, 3, 112, 112): means over areas, as a far camera sees a face."""
    return F.interpolate(faces, size=(resolution, resolution), mode="area")


def layers_of_dsr(model: DSR) -> Layers:
    """Return `stem`, `early` (the first half of the blocks), `late` and `upsampler`."""
    half = len(model.blocks) // 2
    early = "|".join(str(number) for number in range(half))
    return layers_by_pattern(
        model,
        {
            "stem": r"stem\.",
            "early": rf"blocks\.({early})\.",
            "late": r"blocks\.|middle\.",
            "upsampler": r"resized\.|shuffled\.|out\.",
        },
    )
