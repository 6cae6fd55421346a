"""Arithmetic that autocast must leave alone: where things lie, and what is measured.

A sampling grid in bf16 is off by pixels near the border of a large image, and a variance as a
difference of two means is off by more than itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

_Rest = ParamSpec("_Rest")
_Found = TypeVar("_Found")


def full_precision(
    compute: Callable[Concatenate[Tensor, _Rest], _Found],
) -> Callable[Concatenate[Tensor, _Rest], _Found]:
    """Have `compute` run without autocast on the device of its first argument."""

    @wraps(compute)
    def computed(first: Tensor, /, *rest: _Rest.args, **named: _Rest.kwargs) -> _Found:
        with torch.autocast(first.device.type, enabled=False):
            return compute(first, *rest, **named)

    return computed
