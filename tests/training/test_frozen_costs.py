"""Frozen parts cost their forward pass and nothing else: no gradient, no memory, no update."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from tests.training.helpers import TinyTask, facts, schedule, stage
from training.live import Live
from training.segment import train_segment
from training.settings import Settings

TASK = TinyTask(num=32, size=32)
TABLES: dict[str, dict[str, Any]] = {
    "head": {"head": 1.0, "*": "frozen"},
    "partial": {"head": 1.0, "layer4": 0.3, "*": "frozen"},
    "full": {"*": 1.0},
}
KNOBS: dict[str, Any] = {
    "augment": {"mixup": 0.4, "cutmix": 1.0, "flip": True},
    "loss": {"class_weight_power": 1.0, "label_smoothing": 0.1},
    "sampler": "balanced",
    "ema_decay": 0.9,
    "clip_norm": 1.0,
}


def made(table: str, **fields: Any) -> tuple[Live, Settings]:
    """Return a live state that is ready for a segment of two steps, and its settings."""
    chosen = stage(epochs=1, groups=TABLES[table], **fields)
    settings = schedule(chosen).next([], facts(TASK))
    assert settings is not None
    live = Live(TASK, 0, "cpu")
    live.prepare(settings)
    return live, settings


def trainable(live: Live, kind: type[nn.Module]) -> list[nn.Module]:
    modules = live.models["model"].modules()
    return [m for m in modules if isinstance(m, kind) and m.weight.requires_grad]


@pytest.mark.parametrize("table", TABLES)
def test_only_trainable_convolutions_have_a_backward_pass(table: str) -> None:
    live, settings = made(table)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        train_segment(live, TASK, settings, seed=0)
    counts = {event.key: event.count for event in profiled.key_averages()}
    expected = len(trainable(live, nn.Conv2d)) * settings.num_steps
    assert counts.get("aten::convolution_backward", 0) == expected


def kept_bytes(table: str, **fields: Any) -> int:
    """Return the bytes that a segment keeps for its backward passes, parameters left out."""
    live, settings = made(table, **fields)
    own = {parameter.data_ptr() for parameter in live.models.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        train_segment(live, TASK, settings, seed=0)
    return sum(kept.values())


@pytest.mark.parametrize("fields", [{}, KNOBS], ids=["plain", "knobs"])
@pytest.mark.parametrize("batchnorm", ["train", "eval_frozen", "eval_all"])
def test_frozen_layers_keep_nothing_for_a_backward_pass(
    batchnorm: str, fields: dict[str, Any]
) -> None:
    head, partial, full = (
        kept_bytes(table, batchnorm=batchnorm, **fields) for table in ("head", "partial", "full")
    )
    assert head < 0.05 * full, f"head {head} of {full} bytes"
    assert head < partial < 0.5 * full, f"partial {partial} of {full} bytes"


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("table", ["head", "partial"])
def test_frozen_parameters_stay_to_the_bit_with_every_knob_on(table: str, optimizer: str) -> None:
    live, settings = made(table, optimizer={"kind": optimizer}, **KNOBS)
    before = {name: p.clone() for name, p in live.models.named_parameters()}
    train_segment(live, TASK, settings, seed=0)
    assert live.optimizer is not None and live.averaged is not None
    averaged = dict(live.averaged.named_parameters(prefix="model"))
    for name, parameter in live.models.named_parameters():
        frozen = not parameter.requires_grad
        assert torch.equal(parameter, before[name]) == frozen, name
        assert torch.equal(averaged[name], before[name]) == frozen, name
        assert (parameter in live.optimizer.state) != frozen, name
