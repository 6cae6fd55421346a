"""Modules of timm that make tensors on the host in each forward pass, and shall make them in place.

EdgeNeXt's positional encoding begins with zeros on the host. A GPU's step would wait for them, once
for each such layer, and could not be recorded as a CUDA graph. The values are the same.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

_KINDS = (("timm.models.edgenext", "PositionalEncodingFourier"),)


def keep_in_place(models: nn.Module) -> None:
    """Have such modules among `models` make their tensors where their weights are."""
    found = (getattr(sys.modules.get(where), name, None) for where, name in _KINDS)
    kinds = {kind for kind in found if kind is not None}  # of a module not imported there is none
    for module in models.modules():
        kind: Any = type(module)
        if kind in kinds:
            module.__class__ = _in_place(kind)


@lru_cache(maxsize=8)
def _in_place(kind: Any) -> type[nn.Module]:
    def forward(self: nn.Module, *args: Any) -> Tensor:
        compiled = torch.compiler.is_compiling()  # torch moves such tensors by itself then
        with nullcontext() if compiled else next(self.parameters()).device:
            made: Tensor = kind.forward(self, *args)
        return made

    return type(kind.__name__, (kind,), {"forward": forward})
