"""The shape of models: which modules and tensors they are made of, to come back to it.

A task gives models another head by putting new modules in the place of old ones. Who comes back to
the old ones, and puts the values in, has models that compiled code still knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_MEMBERS = ("_parameters", "_buffers", "_modules")


class Shape:
    """All modules below a root, with the members and attributes that they had."""

    def __init__(self, root: nn.Module) -> None:
        """Note the shape of `root`."""
        self._parts = [
            (module, {name: _copied(name, value) for name, value in vars(module).items()})
            for module in root.modules()
        ]

    def restore(self) -> None:
        """Give the modules the members and attributes that they had; values are not touched."""
        for module, known in self._parts:
            own = vars(module)
            for name in own.keys() - known.keys():
                del own[name]
            for name, value in known.items():
                if name in _MEMBERS:
                    _refill(own[name], value)
                elif own.get(name) is not value:
                    own[name] = value


@torch.no_grad()
def put(values: Mapping[str, Tensor], models: nn.Module) -> None:
    """Give `models` the parameters and buffers `values`, by their names in the state dict.

    The order of a tensor in memory becomes that of its value: it decides the last bits.
    """
    own = models.state_dict(keep_vars=True)
    if list(own) != list(values):
        raise ValueError(f"other tensors: {sorted(set(own) ^ set(values))[:4]}")
    for name, tensor in own.items():
        value = values[name]
        if tensor.data_ptr() == value.data_ptr():
            continue
        if tensor.stride() == value.stride():
            tensor.copy_(value)
        else:
            tensor.data = value.to(tensor.device, copy=True)


def _copied(name: str, value: Any) -> Any:
    return dict(value) if name in _MEMBERS else value


def _refill(own: dict[str, Any], known: dict[str, Any]) -> None:
    """Make `own` equal to `known`, order and all, where they hold other objects."""
    if list(own) != list(known) or any(own[name] is not known[name] for name in known):
        own.clear()
        own.update(known)
