"""A network that segments one kind of object: timm features, a top-down decoder, experts, heads.

The decoder is that of a feature pyramid (Lin et al., CVPR 2017) with GroupNorm, which does not
hang on the batch: the stages train with 1 or 2 images at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from training.errors import UserError, unknown
from training.experts import Experts
from training.layers import Layers

NUM_LEVELS = 4
_GROUPS = 8
_SHOWN = ("edgenext_base", "edgenext_small", "edgenext_x_small", "edgenext_xx_small")


class Segmented(NamedTuple):
    """What the network says of a batch."""

    logits: Tensor  # (B, 1, H, W) at the size of the images
    sides: tuple[Tensor, ...]  # coarse to fine, (B, 1, h, w) each at the size of its level
    gates: Tensor  # (B, num_experts), rows sum to 1


class Segmenter(nn.Module):
    """Backbone, decoder, experts and heads; the side heads are for deep supervision."""

    def __init__(self, backbone: nn.Module, channels: Sequence[int], width: int, num: int) -> None:
        """Build a decoder of `width` channels and `num` experts on maps with `channels`."""
        super().__init__()
        self.backbone = backbone
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.smooth = nn.ModuleList(_block(width) for _ in channels[:-1])
        self.experts = Experts(width, num)
        self.head = nn.Sequential(_block(width), nn.Conv2d(width, 1, 1))
        self.side_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in channels[:-1])

    def forward(self, images: Tensor) -> Segmented:
        """Segment (B, 3, H, W) normalised images."""
        levels = [conv(x) for conv, x in zip(self.lateral, self.backbone(images), strict=True)]
        features = levels[-1]
        sides = []
        for number in range(len(levels) - 2, -1, -1):
            sides.append(self.side_heads[number](features))
            finer = levels[number]
            raised = F.interpolate(features, size=finer.shape[-2:], mode="bilinear")
            features = self.smooth[number](finer + raised)
        features, gates = self.experts(features)
        logits = F.interpolate(self.head(features), size=images.shape[-2:], mode="bilinear")
        return Segmented(logits, tuple(sides), gates)


def build_segmenter(model: str, *, pretrained: bool, width: int, num_experts: int) -> Segmenter:
    """Return the network on the features of a timm model; raise `UserError` where it has none."""
    backbone = _features(model, pretrained)
    channels = backbone.feature_info.channels()  # type: ignore[operator, union-attr]
    return Segmenter(backbone, channels, width, num_experts)


def layers_of_segmenter(model: Segmenter) -> Layers:
    """Group the parameters: the backbone's stem and levels, then decoder, experts, head.

    What stands before the first level is the stem; timm's own names are kept (`stages_3`).
    """
    owners = _backbone_owners(model.backbone)
    layers: Layers = {}
    for name, _ in model.named_parameters():
        part, rest = name.split(".", 1)
        layer = {
            "backbone": owners.get(rest.split(".")[0], "backbone"),
            "lateral": "decoder",
            "smooth": "decoder",
            "experts": "experts",
        }.get(part, "head")
        layers[layer] = (*layers.get(layer, ()), name)
    return layers


def _backbone_owners(backbone: nn.Module) -> dict[str, str]:
    """Return child -> layer group; nothing for a backbone that timm does not cut into levels."""
    levels: Any = getattr(backbone, "return_layers", {})
    children = [name for name, _ in backbone.named_children()] if levels else []
    owners, waiting, before = dict[str, str](), list[str](), True
    for child in children:
        if child not in levels:
            waiting.append(child)
            continue
        owners |= dict.fromkeys(waiting, "stem" if before else child) | {child: child}
        waiting, before = [], False
    return owners


def _features(model: str, pretrained: bool) -> nn.Module:
    import timm

    if model not in timm.list_models():
        hint = str(unknown("model", model, timm.list_models())).split("; allowed:")[0]
        raise UserError(f"{hint}; allowed: {', '.join(_SHOWN)}, or any timm model with features")
    last = tuple(range(-NUM_LEVELS, 0))
    try:
        backbone: nn.Module = timm.create_model(
            model, pretrained=pretrained, features_only=True, out_indices=last
        )
    except (OSError, RuntimeError, AttributeError, AssertionError) as error:
        what = "weights timm" if pretrained and isinstance(error, OSError) else "model"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{what}: {model}: no features at {NUM_LEVELS} levels ({reason})"
            if what == "model"
            else f"{what}: {model}: {reason}"
        ) from None
    return backbone


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.GroupNorm(_GROUPS, width),
        nn.GELU(),
    )
