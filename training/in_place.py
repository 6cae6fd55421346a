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


def keep_in_place(models: nn.Module) -> None:
    """Have such modules among `models` make their tensors where their weights are."""
    edgenext: Any = sys.modules.get("timm.models.edgenext")
    if edgenext is None:  # then no module is of it, and its import takes seconds
        return
    kind = edgenext.PositionalEncodingFourier
    in_place: Any = _in_place(kind)
    for module in models.modules():
        if type(module) is kind:
            module.__class__ = in_place


@lru_cache(maxsize=1)
def _in_place(kind: Any) -> type[nn.Module]:
    def forward(self: nn.Module, *args: Any) -> Tensor:
        compiled = torch.compiler.is_compiling()  # torch moves such tensors by itself then
        with nullcontext() if compiled else next(self.parameters()).device:
            made: Tensor = kind.forward(self, *args)
        return made

    return type(kind.__name__, (kind,), {"forward": forward})
