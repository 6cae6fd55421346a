"""How well a map in [0, 1] segments an object: IoU, Dice, MAE and S-measure, one value per image.

All take (B, 1, H, W) float and return (B,). Nothing reads a value back to the host.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.segmentation import dice_score, mean_iou

_AXES = (1, 2, 3)
_EPS = torch.finfo(torch.float64).eps
_OBJECT_SHARE = 0.5


def iou(predicted: Tensor, masks: Tensor) -> Tensor:
    """Return intersection over union of `predicted` > 0.5 and the masks; 1 where both are empty."""
    found = mean_iou(_binary(predicted), _binary(masks), num_classes=1, per_class=True)[:, 0]
    return found.where(found >= 0, 1.0)


def dice(predicted: Tensor, masks: Tensor) -> Tensor:
    """Return the Dice score of `predicted` > 0.5 and the masks; 1 where both are empty."""
    found = dice_score(_binary(predicted), _binary(masks), num_classes=1, average="none")[:, 0]
    return found.nan_to_num(1.0)


def mae(predicted: Tensor, masks: Tensor) -> Tensor:
    """Return the mean absolute error over the pixels."""
    return (predicted - masks).abs().mean(_AXES)


def s_measure(predicted: Tensor, masks: Tensor) -> Tensor:
    """Return the structure measure: half object-aware, half region-aware similarity.

    Fan, Cheng, Liu, Li, Borji, ICCV 2017. An empty mask gives 1 minus the mean of the map, a full
    one its mean. Where the definition divides nothing by nothing (the deviation of one pixel, a
    quadrant without pixels) the part counts as 0.
    """
    predicted, masks = predicted.double(), masks.double()
    share = masks.mean(_AXES)
    region = _region(predicted, masks)
    mixed = _OBJECT_SHARE * _object(predicted, masks, share) + (1 - _OBJECT_SHARE) * region
    mean = predicted.mean(_AXES)
    value = torch.where(share == 0, 1 - mean, torch.where(share == 1, mean, mixed.clamp(min=0)))
    return value.float()


def _binary(values: Tensor) -> Tensor:
    return (values > 0.5).long()


def _object(predicted: Tensor, masks: Tensor, share: Tensor) -> Tensor:
    """Return how evenly bright the object and how evenly dark the rest is (equations 3 to 5)."""
    inside, outside = _brightness(predicted, masks), _brightness(1 - predicted, 1 - masks)
    return share * inside + (1 - share) * outside


def _brightness(values: Tensor, where: Tensor) -> Tensor:
    num = where.sum(_AXES)
    mean = (values * where).sum(_AXES) / num.clamp(min=1)
    spread = ((values - mean[:, None, None, None]).square() * where).sum(_AXES)
    deviation = (spread / (num - 1).clamp(min=1)).sqrt()
    return 2 * mean / (mean.square() + 1 + deviation + _EPS)


def _region(predicted: Tensor, masks: Tensor) -> Tensor:
    """Return the structural similarity of four parts, cut at the object's centre (section 3.1)."""
    parts = _quadrants(masks)  # (B, 4, H, W)
    num = parts.sum((2, 3))
    most = num.clamp(min=1)
    x = (predicted * parts).sum((2, 3)) / most
    y = (masks * parts).sum((2, 3)) / most
    of_x = (predicted - x[:, :, None, None]) * parts
    of_y = (masks - y[:, :, None, None]) * parts
    rest = (num - 1).clamp(min=0) + _EPS
    var_x, var_y = of_x.square().sum((2, 3)) / rest, of_y.square().sum((2, 3)) / rest
    both = (of_x * of_y).sum((2, 3)) / rest
    above, below = 4 * x * y * both, (x.square() + y.square()) * (var_x + var_y)
    alike = torch.where(above != 0, above / (below + _EPS), (below == 0).double())
    return (alike * num).sum(1) / num.sum(1)


def _quadrants(masks: Tensor) -> Tensor:
    """Return four 0/1 maps: left or right, above or below the centre of each mask."""
    height, width = masks.shape[-2:]
    rows = torch.arange(height, device=masks.device, dtype=masks.dtype)
    columns = torch.arange(width, device=masks.device, dtype=masks.dtype)
    num = masks.sum(_AXES).clamp(min=1)
    row = (masks.sum((1, 3)) * rows).sum(1).div(num).round() + 1  # counted from 1, as published
    column = (masks.sum((1, 2)) * columns).sum(1).div(num).round() + 1
    above = (rows < row[:, None]).to(masks.dtype)[:, :, None]  # (B, H, 1)
    left = (columns < column[:, None]).to(masks.dtype)[:, None, :]  # (B, 1, W)
    return torch.stack(
        [above * left, above * (1 - left), (1 - above) * left, (1 - above) * (1 - left)], 1
    )
