"""Steps that are recorded once and replayed: what they train, what they leave, where they are off.

On the CPU nothing is recorded: there a replay is stood in for by the step that would be recorded,
which reads its examples and its LRs from the same tables.
"""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.training.helpers import TinyTask, differences, facts, schedule, stage
from tests.training.test_devices import GpuGenerator
from tests.training.test_no_sync import CASES, SGD
from training import recorded as recorded_steps
from training import residence
from training.classification import Classification, ClassifierConfig
from training.errors import UserError
from training.live import Live
from training.residence import Feed, OnHost
from training.segment import train_segment
from training.settings import Compute, Place, Settings
from training.task import facts_of

TINY = TinyTask(num=96, drop_rate=0.1)
GRAPHS = Compute(cuda_graphs=True)
CURVED: dict[str, Any] = {"groups": {"head": 1.0, "*": 0.1}, "curve": {"kind": "cosine"}}


class Replays:
    """Takes the step again, as a graph would."""

    def __init__(self, step: Any) -> None:
        self.replay = step


def settings_of(place: Place | None = None, **fields: Any) -> Settings:
    plan = schedule(stage(epochs=1, batch_size=16, **fields), compute={"cuda_graphs": True})
    settings = plan.next([], facts(TINY, place=place))
    assert settings is not None
    return settings


def trained(settings: Settings) -> tuple[Any, Any]:
    live = Live(TINY, 0, "cpu")
    totals = train_segment(live, TINY, settings, seed=0)
    return live.capture(), totals


@pytest.mark.parametrize("fields", [*CASES.values(), SGD, CURVED], ids=str)
def test_a_replay_reads_what_the_step_would_be_given(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings_of(**fields), compute=GRAPHS)
    one_by_one = trained(settings)
    graphs: list[Replays] = []
    monkeypatch.setattr(
        recorded_steps, "_graph", lambda step, draws: graphs.append(Replays(step)) or graphs[-1]
    )
    assert not differences(one_by_one, trained(settings))
    assert len(graphs) == 1 and settings.num_steps > recorded_steps.WARM_UP


@pytest.mark.parametrize("fields", [*CASES.values(), SGD, CURVED], ids=str)
def test_the_outcome_is_that_of_other_steps_but_for_the_rounding_of_the_lr(
    fields: dict[str, Any],
) -> None:
    settings = settings_of(**fields)
    (state, totals), (plain_state, plain_totals) = (
        trained(replace(settings, compute=compute)) for compute in (GRAPHS, Compute())
    )
    for name, value in plain_totals.items():
        assert totals[name].dtype == value.dtype
        assert torch.allclose(totals[name].double(), value.double(), rtol=1e-4), name
    for name, value in plain_state["models"].items():
        assert torch.allclose(state["models"][name].double(), value.double(), atol=1e-4), name
    one, other = (found["optimizer"]["param_groups"] for found in (state, plain_state))
    assert one == other, "the optimizer looks as after any other segment"


def test_a_segment_of_few_steps_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_steps, "_graph", lambda step, draws: pytest.fail("recorded"))
    settings = replace(settings_of(data_fraction=0.5), compute=GRAPHS)
    assert settings.num_steps == recorded_steps.WARM_UP
    trained(settings)


@pytest.mark.parametrize(
    "place, on",
    [
        (Place(), False),
        (Place(world_size=2), False),
        (Place(device="cuda", world_size=2), False),
        (Place(device="cuda"), True),
    ],
)
def test_it_is_for_one_process_on_a_gpu_and_leaves_other_keys_alone(place: Place, on: bool) -> None:
    settings = settings_of(place)
    assert settings.compute.cuda_graphs == on
    assert ("cuda_graphs" in settings.plain()["compute"]) == on


class NoGraph:
    """Stands in for `torch.cuda.CUDAGraph` and what records one."""

    def __init__(self, *known: Any, **options: Any) -> None:
        self.options = options

    def register_generator_state(self, draws: torch.Generator) -> None:
        """Do nothing."""

    def __enter__(self) -> None:
        assert self.options == {"capture_error_mode": "thread_local"}

    def __exit__(self, *error: object) -> None:
        """Let errors through."""


@pytest.fixture
def no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", NoGraph)
    monkeypatch.setattr(torch.cuda, "graph", NoGraph)


@pytest.mark.usefixtures("no_graph")
def test_what_needs_data_of_the_host_is_not_recorded() -> None:
    def step() -> None:
        raise OnHost

    assert recorded_steps._graph(step, GpuGenerator()) is None
    assert isinstance(recorded_steps._graph(lambda: None, GpuGenerator()), NoGraph)


@pytest.mark.usefixtures("no_graph")
def test_a_step_that_cannot_be_recorded_says_so_in_one_line() -> None:
    def step() -> None:
        raise torch.OutOfMemoryError("no room\nmore")

    with pytest.raises(
        UserError, match=r"cuda_graphs: a step cannot .* \(no room\); switch it off"
    ):
        recorded_steps._graph(step, GpuGenerator())


def test_a_feed_gives_nothing_to_a_step_that_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(torch.zeros(4, 3, dtype=torch.uint8), "cpu")
    feed.turn(torch.arange(2))
    feed.turn(None)
    assert feed.take(torch.arange(2)).shape == (2, 3)
    monkeypatch.setattr(residence, "is_recording", lambda device: True)
    with pytest.raises(OnHost):
        feed.take(torch.arange(2))


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_replays_train_as_steps_one_by_one_on_a_gpu(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = CASES[case] | SGD
    state, totals = trained_on_gpu(fields)
    monkeypatch.setattr(recorded_steps, "WARM_UP", 10**6)
    other_state, other_totals = trained_on_gpu(fields)
    for one, other in ((totals, other_totals), (state["models"], other_state["models"])):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert torch.allclose(value.double(), other[name].double(), rtol=1e-3, atol=1e-4), name


@pytest.mark.gpu
def test_data_on_the_host_is_trained_on_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    (state, totals), graphs = trained_on_gpu(SGD), graphs_of(monkeypatch)
    monkeypatch.setenv("THAW_DEVICE_CACHE", "0")
    other_state, other_totals = trained_on_gpu(SGD)
    assert graphs == [None]
    assert torch.allclose(totals["loss"], other_totals["loss"], rtol=1e-3)
    for name, value in state["models"].items():
        assert torch.allclose(value.double(), other_state["models"][name].double(), atol=1e-4), name


def graphs_of(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that each graph which is made from now on joins."""
    found: list[Any] = []
    make = recorded_steps._graph
    monkeypatch.setattr(
        recorded_steps, "_graph", lambda *known: found.append(make(*known)) or found[-1]
    )
    return found


def trained_on_gpu(fields: dict[str, Any]) -> tuple[Any, Any]:
    task = copy.deepcopy(Classification(ClassifierConfig()))  # others keep theirs on the host
    task.to("cuda")
    known = facts_of(task, seed=0, place=Place(device="cuda"))
    share = 128 / task.num_train()["target"]
    one = stage(epochs=1, batch_size=16, data_fraction=share, **fields)
    settings = schedule(one, compute={"cuda_graphs": True}).next([], known)
    assert settings is not None and settings.num_steps == 8
    live = Live(task, 0, "cuda")
    totals = train_segment(live, task, settings, seed=0)
    return live.capture(), totals
