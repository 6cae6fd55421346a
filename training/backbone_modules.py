"""Backbones among torch's modules: found in a model, and named by their weights."""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from training.backbone import Backbone
from training.layers import Layers

_RATES = ("drop_rate", "drop_prob")
"""Where timm's models and layers keep their chances of dropping something."""


def backbone_of(model: nn.Module, layers: Layers, shape: tuple[int, ...]) -> Backbone | None:
    """Return the backbone of a timm `model` on the meta device, fed with images of `shape`.

    None where its features cannot be kept: the model draws random numbers in training, its
    classifier is not one module (distilled models have two), is not the last to work on the
    output, or is in use more than once.
    """
    classifier = model.get_classifier()  # type: ignore[operator]
    head = next((name for name, module in model.named_modules() if module is classifier), "")
    if not head or _is_random(model) or not _ends_with(model, classifier, shape):
        return None
    inside = {f"{head}.{name}" for name, _ in classifier.named_parameters()}
    before = (m for name, m in model.named_modules() if not f"{name}.".startswith(f"{head}."))
    return Backbone(
        head=head,
        head_layers=tuple(layer for layer, names in layers.items() if set(names) <= inside),
        has_batchnorm=any(isinstance(module, _BatchNorm) for module in before),
    )


class BackboneNames:
    """Names of the content of backbones, found anew only where the content may be another."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: dict[str, str] = {}
        self._alike: set[str] = set()

    def forget(self) -> None:
        """Take note that weights may have changed."""
        self._known.clear()
        self._alike.clear()

    def of(self, name: str, model: nn.Module, backbone: Backbone) -> str:
        """Return the SHA-256 of what `model`, called `name`, has before its head."""
        if name not in self._known:
            self._known[name] = _digest(model, backbone)
        return self._known[name]

    def alike(self, name: str, model: nn.Module, averaged: nn.Module, backbone: Backbone) -> bool:
        """Tell whether the averaged weights of a model are its own, before the head.

        Once they are, they stay so while the backbone is frozen.
        """
        if name not in self._alike and self.of(name, model, backbone) == _digest(
            averaged, backbone
        ):
            self._alike.add(name)
        return name in self._alike


def _digest(model: nn.Module, backbone: Backbone) -> str:
    """Hash parameters and buffers before the head, but for counters of batches."""
    found = hashlib.sha256()
    for name, value in model.state_dict().items():
        if not name.startswith(f"{backbone.head}.") and not name.endswith("num_batches_tracked"):
            plain = value.detach().cpu().contiguous().flatten()
            found.update(f"{name} {tuple(value.shape)} {value.dtype} ".encode())
            found.update(memoryview(plain.view(torch.uint8).numpy()))
    return found.hexdigest()


def _is_random(model: nn.Module) -> bool:
    """Tell whether something is dropped by chance in training, as far as modules say."""
    return any(
        (isinstance(module, _DropoutNd) and module.p > 0)
        or any(_number(getattr(module, rate, 0)) > 0 for rate in _RATES)
        for module in model.modules()
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _ends_with(model: nn.Module, classifier: nn.Module, shape: tuple[int, ...]) -> bool:
    """Tell whether `classifier` is called once, with one tensor, and makes the output.

    A pass over the meta device: shapes only. A model that it cannot tell of is taken not to.
    """
    calls: list[tuple[tuple[Any, ...], Any]] = []
    handle = classifier.register_forward_hook(
        lambda module, given, made: calls.append((given, made))
    )
    try:
        with torch.device("meta"), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = model.eval()(torch.zeros(shape))
    except Exception:  # whatever the model's own code raises
        return False
    finally:
        handle.remove()
    if len(calls) != 1:
        return False
    given, made = calls[0]
    return len(given) == 1 and isinstance(given[0], Tensor) and made is output
