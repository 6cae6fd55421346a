"""The part of a model in front of its head: what it is, and when its output can be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from training.settings import Augment, Settings


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """What a model has in front of the module that makes its output; hashable."""

    head: str
    """Dotted name of that module: it takes one tensor of features, and its result is the model's
    output."""
    head_layers: tuple[str, ...]
    """Layer groups whose parameters all lie in the head."""
    has_batchnorm: bool
    """Whether there are BatchNorm layers before the head."""


def realised(settings: Settings, backbones: Mapping[str, Backbone]) -> Settings:
    """Return `settings` with kept features where these can be, and without them elsewhere.

    They can be where the head alone trains and sees the same features of an image each time. There
    nothing is left that `compile` could do.
    """
    if not settings.compute.cache_features:
        return settings
    backbone = backbones.get(settings.model)
    keeps = backbone is not None and _sees_the_same(settings, backbone)
    change = {"compile": False} if keeps else {"cache_features": False}
    return replace(settings, compute=settings.compute.model_copy(update=change))


def without_features(settings: Settings) -> Settings:
    """Return `settings` under which the whole model is run."""
    compute = settings.compute.model_copy(update={"cache_features": False})
    return replace(settings, compute=compute)


def _sees_the_same(settings: Settings, backbone: Backbone) -> bool:
    trainable = {layer for layer, multiplier in settings.multipliers if multiplier is not None}
    return (
        trainable <= set(backbone.head_layers)
        and settings.augment == Augment()
        and not (backbone.has_batchnorm and settings.batchnorm == "train")
    )
