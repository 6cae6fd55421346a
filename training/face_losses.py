"""What a super-resolved face is measured by: terms of the loss, and the usual two figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.checkpoints import load_weights
from training.full_precision import full_precision
from training.images import normalised

_LAYERS = (3, 8, 15, 22)
"""Places of relu1_2, relu2_2, relu3_3 and relu4_3 in VGG-16 (Johnson et al. 2016)."""
_LEAST_ERROR = 1e-10
"""Mean squared error that counts as none: 100 dB."""
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def l1(made: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute difference of each image, (B,)."""
    return (made - truth).abs().flatten(1).mean(1)


def feature_distance(made: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Return the mean squared difference of each image's features, (B,), averaged over layers.

    The perceptual loss of Johnson et al. 2016 (arXiv 1603.08155, eq. 2).
    """
    pairs = zip(made, truth, strict=True)
    return torch.stack([(a - b).square().flatten(1).mean(1) for a, b in pairs]).mean(0)


def feature_match(made: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Return the mean absolute difference of each image's features, (B,), averaged over layers."""
    return torch.stack([l1(a, b) for a, b in zip(made, truth, strict=True)]).mean(0)


def identity_loss(made: Tensor, truth: Tensor) -> Tensor:
    """Return 1 minus the cosine of each pair of embeddings, (B,): 0 where they point alike."""
    return (F.normalize(made) - F.normalize(truth)).square().sum(1) / 2


def total_variation(made: Tensor) -> Tensor:
    """Return the summed absolute differences of neighbouring pixels of each image, (B,)."""
    down = (made[:, :, 1:] - made[:, :, :-1]).abs().flatten(1).sum(1)
    across = (made[..., 1:] - made[..., :-1]).abs().flatten(1).sum(1)
    return down + across


def psnr(made: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB, (B,), at most 100."""
    errors = (made - truth).square().flatten(1).mean(1)
    return -10 * errors.clamp(min=_LEAST_ERROR).log10()


@full_precision
def ssim(made: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity of each image, (B,) (Wang et al. 2004, doi 10/c7sr7p).

    Gaussian window of 11 pixels with sigma 1.5, values in [0, 1], mirrored at the border.
    """
    mean_a, mean_b = _smooth(made), _smooth(truth)
    var_a = (_smooth(made * made) - mean_a * mean_a).clamp(min=0)
    var_b = (_smooth(truth * truth) - mean_b * mean_b).clamp(min=0)
    cov = _smooth(made * truth) - mean_a * mean_b
    light = (2 * mean_a * mean_b + _C1) / (mean_a * mean_a + mean_b * mean_b + _C1)
    structure = (2 * cov + _C2) / (var_a + var_b + _C2)
    return (light * structure).flatten(1).mean(1)


def _smooth(images: Tensor) -> Tensor:
    channels = images.shape[1]
    places = torch.arange(_WINDOW, device=images.device, dtype=images.dtype) - _WINDOW // 2
    window = torch.exp(-places.square() / (2 * _SIGMA**2))
    window = (window / window.sum()).expand(channels, 1, 1, -1)
    images = F.pad(images, [_WINDOW // 2] * 4, mode="reflect")
    rows = F.conv2d(images, window, groups=channels)
    return F.conv2d(rows, window.transpose(2, 3), groups=channels)


class Perceptual(nn.Module):
    """The first layers of VGG-16 with a user's weights, frozen."""

    def __init__(self, path: str) -> None:
        """Load torchvision's VGG-16 from a checkpoint; raise `UserError` where it does not fit."""
        from torchvision.models import vgg16

        super().__init__()
        network = vgg16(init_weights=False)
        self.features = network.features[: max(_LAYERS) + 1]
        last = max(_LAYERS)

        def wanted(name: str) -> str | None:
            kind, _, rest = name.partition(".")
            outside = kind == "classifier" or (kind == "features" and _number(rest) > last)
            return None if outside else name

        load_weights(self, path, ignore=(), rename=wanted, field="perceptual")
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return four feature maps of (B, 3, H, W) images in [0, 1]."""
        values, found = normalised(images, channels_last=False), []
        for number, layer in enumerate(self.features):
            values = layer(values)
            if number in _LAYERS:
                found.append(values)
        return found


def _number(name: str) -> float:
    first = name.partition(".")[0]
    return int(first) if first.isdigit() else math.inf
