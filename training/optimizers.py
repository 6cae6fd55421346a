"""Optimizers as typed configuration, built over named layer groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from training.config import Config

if TYPE_CHECKING:
    import torch
    from torch import nn

NonNegative = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]


class AdamW(Config):
    """Adam with decoupled weight decay (arXiv 1711.05101)."""

    kind: Literal["adamw"] = "adamw"
    weight_decay: NonNegative = 1e-4
    """Share of LR by which weights shrink at each step."""
    beta1: Momentum = 0.9
    """Decay of the mean of gradients."""
    beta2: Momentum = 0.999
    """Decay of the mean of squared gradients."""
    eps: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the denominator."""

    def build(self, groups: list[dict[str, object]], *, fused: bool) -> torch.optim.Optimizer:
        """Return torch's optimizer over `groups`; the LR is set before each step."""
        import torch

        return torch.optim.AdamW(
            groups,
            lr=0.0,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=fused or None,
        )


class SGD(Config):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    weight_decay: NonNegative = 1e-4
    """L2 penalty added to the gradient."""
    momentum: Momentum = 0.9
    """Decay of the running gradient."""
    nesterov: bool = False
    """Nesterov's look-ahead."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: needs a momentum above 0")
        return self

    def build(self, groups: list[dict[str, object]], *, fused: bool) -> torch.optim.Optimizer:
        """Return torch's optimizer over `groups`; the LR is set before each step."""
        import torch

        return torch.optim.SGD(
            groups,
            lr=0.0,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=fused or None,
        )


Optimizer = Annotated[AdamW | SGD, Field(discriminator="kind")]


def build_optimizer(
    config: AdamW | SGD, model: nn.Module, layers: Mapping[str, Sequence[str]], *, fused: bool
) -> torch.optim.Optimizer:
    """Build one optimizer group for each layer group; every parameter is in exactly one.

    Frozen groups are members too: a parameter without a gradient is skipped by torch, so that a
    thaw never changes the groups and an optimizer that is kept fits its saved state.
    """
    named = dict(model.named_parameters())
    groups: list[dict[str, object]] = [
        {"name": layer, "params": [named[name] for name in names]}
        for layer, names in layers.items()
    ]
    return config.build(groups, fused=fused)


def complete_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give each trained parameter a momentum where others of its group have one: 0, as if new.

    A kept SGD may meet parameters that had no gradient before; fused kernels take no such mixture.
    """
    import torch

    for group in optimizer.param_groups:
        states = [optimizer.state[p] for p in group["params"] if p in optimizer.state]
        if any(state.get("momentum_buffer") is not None for state in states):
            for parameter in (p for p in group["params"] if p.requires_grad):
                if optimizer.state[parameter].get("momentum_buffer") is None:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
