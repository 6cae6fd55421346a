"""The structure loss: binary cross entropy and IoU, both weighted towards the object's border.

Wei, Wang, Huang, F3Net, AAAI 2020 (equations 4 to 6), as PraNet (Fan et al., MICCAI 2020) and the
work on camouflaged objects after it use it. Their window of 31 px belongs to images of 352 px; for
smaller ones it shrinks with them.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_WINDOW_PX = 31
_AT_PX = 352
_BORDER = 5.0


def border_weights(masks: Tensor) -> Tensor:
    """Return (B, 1, H, W) weights from 1 to 6: high where a mask differs from its surroundings."""
    side = min(masks.shape[-2:])
    window = min(_WINDOW_PX, 2 * (_WINDOW_PX * side // (2 * _AT_PX)) + 1)
    around = F.avg_pool2d(masks, window, stride=1, padding=window // 2)
    return 1 + _BORDER * (around - masks).abs()


def structure_terms(logits: Tensor, masks: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return weighted cross entropy and weighted IoU loss, both (B,).

    `logits`, `masks` (0 or 1) and `weights` are (B, 1, H, W) float32. The IoU loss is 0 for an
    empty mask that is predicted as empty.
    """
    axes = (1, 2, 3)
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    entropy = (entropy * weights).sum(axes) / weights.sum(axes)
    predicted = logits.sigmoid()
    common = (predicted * masks * weights).sum(axes)
    total = ((predicted + masks) * weights).sum(axes)
    return entropy, 1 - (common + 1) / (total - common + 1)
