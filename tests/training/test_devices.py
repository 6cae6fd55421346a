"""Steps and evaluations on a GPU that is not there: torch's fake tensors know devices and shapes.

A tensor of the wrong device, and any read of a value, is an error in them. What they leave out: the
backward pass, streams, the copies of data that does not fit the device, and what is computed once
for many steps (tables, the name and the check of kept features).
"""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from unittest.mock import Mock, patch

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.training.helpers import schedule, stage
from tests.training.test_no_sync import CASES
from training import (
    backbone_modules,
    classification,
    generated,
    images,
    mixing,
    recorded,
    segment,
)
from training.camouflage import Camouflage, CamouflageConfig
from training.classification import Classification, ClassifierConfig
from training.cyclic import Cyclic
from training.cyclic_config import CyclicConfig
from training.live import Live
from training.segment import evaluate_segment, train_segment
from training.settings import Place, Settings
from training.streets import Streets, StreetsConfig
from training.task import Task, facts_of

MAKES: dict[str, Any] = {
    "classifier": lambda: Classification(ClassifierConfig()),
    "camouflage": lambda: Camouflage(CamouflageConfig(image_size=32, width=16, num_experts=3)),
    "streets": lambda: Streets(StreetsConfig(encoder="tu-test_resnet")),
    "coloured": lambda: Streets(
        StreetsConfig(encoder="tu-test_resnet", colour=0.4, strategy="poor", rate=0.5)
    ),
    "faces": lambda: Cyclic(CyclicConfig()),
}
BF16 = {"precision": "bf16", "channels_last": True}
KEPT = {"cache_features": True}
GRAPHS = {"cuda_graphs": True}
HEAD = CASES["head"]
OTHERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("camouflage", {}, {}),
    ("camouflage", {"ema_decay": 0.9, "augment": {"flip": True}}, BF16),
    ("streets", {}, GRAPHS),
    ("streets", {"clip_norm": 1.0, "accumulate": 2}, BF16),
    ("coloured", {"augment": {"zoom": 0.2, "flip": True}}, {}),
    ("faces", {"model": "dsr", "data": "source"}, {}),
    ("faces", {"model": "edgeface", "data": "target"}, GRAPHS),
    ("faces", {"model": "edgeface", "data": "source"}, BF16),
]
RUNS = [
    *(("classifier", fields, {}) for fields in CASES.values()),
    *(("classifier", CASES[name], BF16) for name in ("plain", "mixes")),
    *(("classifier", CASES[name], GRAPHS) for name in ("plain", "clip", "ema", "mixes")),
    ("classifier", HEAD, KEPT),
    *OTHERS,
]
READ_IN_EVALUATION = ("faces",)  # embeddings of all faces are compared at the end, on the host


class GpuGenerator(torch.Generator):
    """A generator that says it is one of a GPU."""

    device = torch.device("cuda")


@cache
def sample(name: str) -> Task:
    return MAKES[name]()


def settings_of(task: Task, fields: dict[str, Any], compute: dict[str, Any]) -> Settings:
    known = facts_of(task, seed=0, place=Place(device="cuda"))
    data = fields.get("data", "target")
    share = 80 / task.num_train()[data]
    one = stage(epochs=1, batch_size=16, data_fraction=share, **fields)
    settings = schedule(one, compute=compute).next([], known)
    assert settings is not None
    return settings


@contextmanager
def fake_gpu(order: Tensor) -> Iterator[None]:
    """Make `cuda` a device of fake tensors; `order` is what a segment trains on."""
    replaced: list[tuple[Any, str, Any]] = [
        (torch, "manual_seed", lambda seed: None),
        (torch.cuda, "mem_get_info", lambda: (2**33, 2**33)),
        (torch.cuda, "get_device_properties", lambda device: Mock(total_memory=2**33)),
        (nn.Module, "to", moved),
        (Tensor, "backward", with_gradients),
        (segment, "generator", lambda *known: GpuGenerator()),
        (segment, "epoch_order", lambda *known: order),
        (backbone_modules, "_digest", lambda *known: "fake"),
        (classification, "name_of", lambda split, *known, **others: split),
        (classification, "check_features", lambda *known, **others: None),
        (classification, "class_weights", lambda labels, num, power: torch.ones(num)),
        (generated, "digest", lambda model: "fake"),
        (mixing, "_table", table),
        (recorded, "_graph", lambda step, draws: Mock(replay=step)),
    ]
    with ExitStack() as stack:
        for place, name, value in replaced:
            stack.enter_context(patch.object(place, name, value))
        library = stack.enter_context(torch.library._scoped_library("aten", "IMPL"))
        library.impl("_fused_adamw_.tensor_lr", on_gpu, "Meta")
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.callback(images.per_channel.cache_clear)
        yield


class Sent(TorchDispatchMode):
    """Counts tensors that go from the host to the GPU, which a step would wait for."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = args[-1] if func is torch.ops.aten.copy_.default else args[0]
            self.count += source.device.type == "cpu" and found.device.type == "cuda"
        return found


def on_gpu(weights: list[Tensor], *states: list[Tensor], lr: Tensor, **numbers: Any) -> None:
    """Stand in for the fused optimizer whose LR is a tensor: torch has no shapes for it."""
    assert lr.shape == () and weights


def table(alpha: float, device: str) -> Tensor:
    """Stand in for what is computed once by scipy."""
    return torch.ones(mixing._QUANTILES + 1, dtype=torch.float64, device=device)


def moved(model: nn.Module, device: str | None = None, memory_format: Any = None) -> nn.Module:
    """Do what `Module.to` does, which cannot swap parameters for fake ones."""
    for module in model.modules() if device else ():
        for name, value in module._parameters.items():
            if value is not None:
                there = value.detach().to(device)
                module._parameters[name] = nn.Parameter(there, requires_grad=value.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
    return model


def with_gradients(loss: Tensor) -> None:
    """Give the parameters that the loss depends on a gradient, without the engine of autograd."""
    todo, seen = [loss.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            leaf.grad = torch.zeros_like(leaf)
        todo += [after for after, _ in node.next_functions]


@pytest.mark.filterwarnings("ignore:CUDA is not available", "ignore:Accessing the data pointer")
@pytest.mark.parametrize("name, fields, compute", RUNS, ids=str)
def test_all_is_on_the_gpu_and_no_value_is_read(
    name: str, fields: dict[str, Any], compute: dict[str, Any]
) -> None:
    task = sample(name)
    settings = settings_of(task, fields, compute)
    order = segment.epoch_order(task, settings, 0)
    fresh = copy.deepcopy(task)  # what others have loaded stays as it is
    built = fresh.build(seed=0)
    with fake_gpu(order), patch.object(fresh, "build", lambda seed: built):
        fresh.to("cuda")
        live = Live(fresh, 0, "cuda")
        train_segment(live, fresh, settings, seed=0)
        with Sent() as sent:
            totals = train_segment(live, fresh, settings, seed=0)
        assert 1 <= sent.count <= 3 < settings.num_steps, "the order, LRs and examples of a graph"
        if name not in READ_IN_EVALUATION:
            totals |= evaluate_segment(live, fresh, settings)
    assert {value.device.type for value in totals.values()} == {"cuda"}
    assert {value.device.type for value in live.models.state_dict().values()} == {"cuda"}
    assert live.optimizer is not None and live.optimizer.state_dict()["state"]


def test_a_tensor_that_was_left_behind_is_seen() -> None:
    here = torch.ones(3)
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(RuntimeError, match="devices"):
        _ = torch.ones(3, device="cuda") + here


def test_a_value_that_is_read_is_seen() -> None:
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        torch.ones(3, device="cuda").sum().item()
