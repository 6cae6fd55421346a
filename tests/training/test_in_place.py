"""Modules of timm that make tensors on the host, and here where their weights are."""

import copy

import pytest
import torch
from timm.models.edgenext import PositionalEncodingFourier
from torch import nn

from training.in_place import keep_in_place

SHAPE = (2, 4, 6)


def kept() -> nn.ModuleDict:
    torch.manual_seed(0)
    models = nn.ModuleDict({"model": nn.Sequential(PositionalEncodingFourier(8, 16))})
    keep_in_place(models)
    return models


def test_the_values_are_those_of_timm() -> None:
    models = kept()
    torch.manual_seed(0)
    assert torch.equal(models["model"](SHAPE), PositionalEncodingFourier(8, 16)(SHAPE))


def test_a_copy_has_its_own_weights_and_the_state_its_own_names() -> None:
    models = kept()
    copied = copy.deepcopy(models)
    copied["model"][0].token_projection.weight.data.zero_()
    assert not torch.equal(models["model"](SHAPE), copied["model"](SHAPE))
    assert models.state_dict().keys() == {
        f"model.0.token_projection.{name}" for name in ("weight", "bias")
    }


def test_it_makes_nothing_on_another_device() -> None:
    """On the meta device zeros of the host would be moved; there none may be made."""
    models = kept().to("meta")
    with pytest.MonkeyPatch.context() as patch:
        made = []
        zeros = torch.zeros
        patch.setattr(torch, "zeros", lambda *size: made.append(zeros(*size)) or made[-1])
        models["model"](SHAPE)
    assert [tensor.device.type for tensor in made] == ["meta"]


def test_a_compiled_model_is_one_graph() -> None:
    models = kept()
    explained = torch._dynamo.explain(lambda x: models["model"](tuple(x.shape)))(torch.zeros(SHAPE))
    assert explained.graph_break_count == 0
