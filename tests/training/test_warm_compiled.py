"""A warm trainer goes back to its start in the same modules: the second trial compiles nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.helpers import TinyTask, facts, keys, run, same, schedule, stage, state, trainer
from training.live import Live
from training.schedule import Schedule
from training.shape import Shape, put
from training.store import Store

TINY = TinyTask()
HEAD: dict[str, Any] = {"groups": {"head": 1.0, "*": "frozen"}, "batchnorm": "eval_frozen"}
TWO_HEADS = (stage(epochs=1, data="source"), stage(epochs=1, **HEAD), stage(epochs=1))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Graphs that dynamo made, which are run as they are."""
    found: list[int] = []
    real = torch.compile

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        found.append(len(found))
        return graph.forward

    def compile(model: nn.Module, **options: Any) -> Any:
        return real(model, backend=backend, **options)

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", compile)
    return found


def plan(lr: float) -> Schedule:
    stages = (one.model_copy(update={"lr": lr}) for one in TWO_HEADS)
    return schedule(*stages, compute={"compile": True})


def test_a_second_trial_compiles_nothing_anew(compiled: list[int], tmp_path: Path) -> None:
    """It begins at the root again, and changes heads in the middle."""
    store = Store(str(tmp_path))
    warm = trainer(TINY, store)
    run(plan(1e-3), store, TINY, by=warm)
    first = len(compiled)
    assert first >= 3, "one graph for each stage at least"
    visits = run(plan(2e-3), store, TINY, by=warm)
    assert not any(visit.reused for visit in visits)
    assert len(compiled) == first, f"{len(compiled) - first} graphs were compiled anew"


def test_more_graphs_than_torch_keeps_by_itself(compiled: list[int], tmp_path: Path) -> None:
    """Each batch size has a graph of its own, whatever was compiled before."""
    sizes = (1, 2, 3, 4, 6, 8, 12, 16, 24, 48)  # they divide 48 images
    stages = (stage(name=str(n), epochs=1, batch_size=n, batchnorm="eval_all") for n in sizes)
    plan = schedule(*stages, compute={"compile": True})
    run(plan, Store(str(tmp_path)), TINY)
    assert len(compiled) == len(sizes)


def test_a_second_trial_has_the_weights_of_a_new_trainer(tmp_path: Path) -> None:
    plans = [
        schedule(*TWO_HEADS, compute={"channels_last": True}),
        schedule(*(one.model_copy(update={"lr": 1e-2}) for one in TWO_HEADS)),
        schedule(*(one.model_copy(update={"lr": 2e-2}) for one in reversed(TWO_HEADS))),
    ]
    used = Store(str(tmp_path / "used"))
    warm = trainer(TINY, used)
    for number, each in enumerate(plans):
        run(each, used, TINY, by=warm)
        fresh = Store(str(tmp_path / str(number)))
        run(each, fresh, TINY)
        for key in keys(each, TINY):
            same({number: state(fresh, key)}, {number: state(used, key)})


def test_a_start_keeps_the_modules_and_puts_the_values_back() -> None:
    live = Live(TINY, 0, "cpu")
    modules = list(live.models.modules())
    expected = {name: value.clone() for name, value in live.models.state_dict().items()}
    settings = schedule(stage()).next([], facts(TINY))
    assert settings is not None
    live.prepare(settings)
    with torch.no_grad():
        for parameter in live.models.parameters():
            parameter.add_(1.0).grad = torch.ones_like(parameter)
    live.start()
    assert all(one is other for one, other in zip(live.models.modules(), modules, strict=True))
    same(dict(live.models.state_dict()), expected)
    assert all(parameter.grad is None for parameter in live.models.parameters())


def test_values_bring_their_order_in_memory() -> None:
    one, other = nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    weight = one.weight
    put(other.state_dict(), one)
    assert one.weight is weight and one.weight.stride() == other.weight.stride()
    assert torch.equal(one.weight, other.weight)
    assert one.weight.data_ptr() != other.weight.data_ptr()


def test_other_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="bias"):
        put(nn.Linear(2, 2).state_dict(), nn.Linear(2, 2, bias=False))


def test_a_shape_comes_back_with_replaced_parts() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    shape, parts = Shape(model), list(model)
    model[1] = nn.Linear(2, 5)
    model[0].weight = nn.Parameter(torch.zeros(4, 2))
    model.extra = 1  # type: ignore[assignment]
    shape.restore()
    assert list(model) == parts and model[0].weight.shape == (2, 2)
    assert not hasattr(model, "extra")
