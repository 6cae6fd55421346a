"""Which layers of a model that is trained use the statistics of the batch."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.layers import Layers
from training.schedule import Stage, with_frozen

Modes = tuple[str, frozenset[str]]
"""`batchnorm` of a stage, and the groups that it trains."""


def modes_of(stage: Stage, layers: Layers) -> Modes:
    """Return the modes that a stage begins with."""
    groups = with_frozen(stage, set(), tuple(layers))
    return stage.batchnorm, frozenset(name for name, value in groups.items() if value != "frozen")


def set_modes(model: nn.Module, layers: Layers, modes: Modes) -> None:
    """Put `model`, which has the groups `layers`, into training mode, and BatchNorm as asked.

    With `eval_all` BatchNorm layers have no gradients either.
    """
    batchnorm, trainable = modes
    model.train()
    if batchnorm == "train":
        return
    owner = {name: layer for layer, names in layers.items() for name in names}
    for prefix, norm in _batchnorms(model):
        first = next((f"{prefix}.{name}" for name, _ in norm.named_parameters()), None)
        if batchnorm == "eval_all":
            norm.requires_grad_(False).eval()
        elif first is not None and owner[first] not in trainable:
            norm.eval()


def _batchnorms(model: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    return ((n, m) for n, m in model.named_modules() if isinstance(m, _BatchNorm))
