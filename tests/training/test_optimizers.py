"""Optimizers over layer groups: what a kept one needs to go on with others."""

import torch
from torch import Tensor, nn

from training.optimizers import SGD, build_optimizer, complete_momentum

LAYERS = {"all": ("weight", "bias")}


def weights_after(*, fused: bool) -> list[Tensor]:
    """Train weight and bias where the bias had no gradient before, as after a fixed BatchNorm."""
    model = nn.Linear(3, 2)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    optimizer = build_optimizer(SGD(), model, LAYERS, fused=fused)
    optimizer.param_groups[0]["lr"] = 0.1
    model.weight.grad = torch.full((2, 3), 0.3)
    optimizer.step()
    model.bias.grad = torch.full((2,), 0.7)
    if fused:
        complete_momentum(optimizer)
    optimizer.step()
    return [model.weight.detach(), model.bias.detach()]


def test_fused_sgd_goes_on_with_what_had_no_gradient() -> None:
    for one, other in zip(weights_after(fused=True), weights_after(fused=False), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_what_is_new_or_frozen_gets_no_momentum() -> None:
    model = nn.Linear(3, 2)
    optimizer = build_optimizer(SGD(), model, LAYERS, fused=False)
    complete_momentum(optimizer)
    assert not optimizer.state
    model.weight.grad = torch.ones(2, 3)
    optimizer.step()
    model.bias.requires_grad_(False)
    complete_momentum(optimizer)
    assert set(optimizer.state) == {model.weight}
