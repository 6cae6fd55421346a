"""The segmentation task: network, layer groups, totals over batches and ranks, no reads."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from training.camouflage import Camouflage, CamouflageConfig
from training.errors import UserError
from training.experts import Experts
from training.live import Live
from training.schedule import Schedule, Stage
from training.segment import evaluate_segment, train_segment
from training.segmenter import build_segmenter, layers_of_segmenter
from training.settings import Place, Settings
from training.task import Totals, facts_of

TINY: dict[str, Any] = {"image_size": 32, "width": 16, "num_experts": 3}


@cache
def task(**fields: Any) -> Camouflage:
    return Camouflage(CamouflageConfig.parse(TINY | fields))


def settings_of(**fields: Any) -> Settings:
    stage = {"name": "s", "epochs": 1, "lr": 1e-3, "batch_size": 8, "data_fraction": 0.25}
    plan = Schedule(stages=(Stage.parse(stage | fields),))
    facts = facts_of(task(), seed=0, place=Place())
    plan.check(facts)
    settings = plan.next([], facts)
    assert settings is not None
    return settings


def numbers(totals: Totals) -> dict[str, float]:
    """Return the totals that are no drawings."""
    return {name: float(value) for name, value in totals.items() if not value.ndim}


def test_the_layer_groups_of_edgenext_go_from_stem_to_head() -> None:
    model = build_segmenter("edgenext_xx_small", pretrained=False, width=16, num_experts=2)
    backbone = ["stem", "stages_0", "stages_1", "stages_2", "stages_3"]
    assert list(layers_of_segmenter(model)) == [*backbone, "decoder", "experts", "head"]


@pytest.mark.parametrize("name", ["test_resnet", "edgenext_x_small", "test_convnext"])
def test_any_model_with_features_serves(name: str) -> None:
    model = build_segmenter(name, pretrained=False, width=16, num_experts=2)
    found = model(torch.zeros(2, 3, 64, 64))
    assert found.logits.shape == (2, 1, 64, 64)
    assert [side.shape[-1] for side in found.sides] == sorted(s.shape[-1] for s in found.sides)
    assert len(found.sides) == 3
    assert torch.allclose(found.gates.sum(1), torch.ones(2))


def test_a_model_that_is_not_there_is_named_with_its_neighbour() -> None:
    with pytest.raises(UserError, match=r"unknown model 'edgenext_bsae' \(did you mean 'edgenext_"):
        Camouflage(CamouflageConfig(model="edgenext_bsae"))


def test_every_expert_learns_from_the_first_step() -> None:
    torch.manual_seed(0)
    experts = Experts(8, 4)
    made, gates = experts(torch.randn(2, 8, 6, 6))
    assert torch.equal(gates, torch.full((2, 4), 0.25))
    made.square().sum().backward()
    weight = experts.experts[0].weight.grad
    assert weight is not None
    assert (weight.unflatten(0, (4, 8)).abs().amax((1, 2, 3, 4)) > 0).all()


def test_a_dead_expert_is_seen() -> None:
    live = Live(task(), 0, "cpu")
    settings = settings_of()
    live.prepare(settings)
    experts: Any = live.models["model"].experts
    with torch.no_grad():
        experts.gate.bias.copy_(torch.tensor([0.0, -30.0, 1.0]))
    val = numbers(evaluate_segment(live, task(), settings))
    metrics = task().metrics({"loss": 1.0, "iou": 0.5, "num": 2}, val)
    assert metrics["val_least_expert"] < 1e-6
    assert metrics["expert_gate/2"] < 1e-6
    assert [metrics[f"expert_load/{n}"] for n in (1, 2, 3)] == [0, 0, 1]
    assert sum(metrics[f"expert_gate/{n}"] for n in (1, 2, 3)) == pytest.approx(1)


def totals(settings: Settings, rank: int = 0) -> dict[str, float]:
    live = Live(task(), 0, "cpu")
    live.prepare(settings)
    models = live.evaluated(settings)
    with torch.no_grad():
        return numbers(task().evaluate(models, settings, rank))


def test_totals_add_up_over_ranks() -> None:
    settings = settings_of()
    shared = replace(settings, place=Place(world_size=3))
    parts = [totals(shared, rank) for rank in range(3)]
    whole = totals(settings)
    assert {k: sum(part[k] for part in parts) for k in whole} == pytest.approx(whole, rel=1e-4)


def drawings(rank: int, world_size: int) -> torch.Tensor:
    settings = replace(settings_of(), place=Place(world_size=world_size))
    live = Live(task(), 0, "cpu")
    live.prepare(settings)
    with torch.no_grad():
        return task().evaluate(live.evaluated(settings), settings, rank)["predictions"]


def test_the_same_four_images_are_drawn_by_however_many_ranks() -> None:
    whole = drawings(0, 1)
    parts = [drawings(rank, 3) for rank in range(3)]
    assert whole.shape == (4, 32, 32) and task().examples().shape == (4, 4, 32, 32)
    assert (whole - sum(parts)).abs().max() <= 1, "one level, where a value lies on a border"
    assert all(whole[place].any() for place in range(4))


def test_totals_do_not_hang_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = totals(settings_of())
    monkeypatch.setattr("training.camouflage._EVAL_BATCH", 5)
    assert totals(settings_of()) == pytest.approx(whole, rel=1e-4)


@torch.no_grad()
def test_the_loss_does_not_hang_on_the_micro_batch() -> None:
    settings = settings_of(loss={"deep_supervision": 0.4}, augment={"flip": True, "shift": 0.1})
    live = Live(task(), 0, "cpu")
    live.prepare(settings)
    forward, chosen = live.forward(settings), torch.arange(8)
    draws = task().draw(chosen, settings, torch.Generator().manual_seed(0))
    whole, sums = task().loss(forward, chosen, draws, settings)
    halves = [
        task().loss(forward, chosen[part], draws[part], settings)
        for part in (slice(0, 4), slice(4, 8))
    ]
    assert float(whole) == pytest.approx(sum(float(loss) for loss, _ in halves) / 2, rel=1e-5)
    assert float(sums["iou"]) == pytest.approx(sum(float(s["iou"]) for _, s in halves), rel=1e-5)


@torch.no_grad()
def test_terms_are_weighed() -> None:
    settings = settings_of()
    live = Live(task(), 0, "cpu")
    live.prepare(settings)
    forward, chosen = live.forward(settings), torch.arange(4)
    draws = torch.zeros(4, 5)

    def loss(**terms: float) -> float:
        given = tuple(({"bce": 0.0, "iou": 0.0, "deep_supervision": 0.0} | terms).items())
        return float(task().loss(forward, chosen, draws, replace(settings, loss=given))[0])

    bce, overlap = loss(bce=1), loss(iou=1)
    assert bce > 0 and overlap > 0
    assert loss(bce=2, iou=0.5) == pytest.approx(2 * bce + 0.5 * overlap, rel=1e-5)
    deep = loss(bce=1, deep_supervision=1) - bce
    assert deep > 0
    assert loss(bce=1, deep_supervision=0.5) == pytest.approx(bce + deep / 2, rel=1e-5)


def test_another_training_size_is_measured_on_the_same_masks() -> None:
    small, large = totals(settings_of(image_size=32)), totals(settings_of(image_size=64))
    assert small["num"] == large["num"]
    assert small["iou"] != large["iou"], "the size had no effect"


def test_twice_the_steps_read_no_more_values() -> None:
    counts = []
    for batch in (32, 16):
        settings = settings_of(
            batch_size=batch,
            optimizer={"kind": "sgd"},
            image_size=32,
            augment={"flip": True},
            loss={"deep_supervision": 0.4},
        )
        live = Live(task(), 0, "cpu")
        live.prepare(settings)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            train_segment(live, task(), settings, seed=0)
        reads = ("aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero")
        counts.append(sum(e.count for e in profiled.key_averages() if e.key in reads))
        assert settings.num_steps == 64 // batch
    assert counts[0] == counts[1], counts


@pytest.mark.parametrize(
    ("theirs", "finding"),
    [
        ({"model": "edgenext_x_small"}, r"missing .*unknown .*|of other shape: backbone\."),
        ({"num_experts": 5}, r"of other shape: experts\.gate\.weight is \(5, 16\), .*\(3, 16\)"),
    ],
    ids=["backbone", "experts"],
)
def test_a_checkpoint_of_another_network_names_the_layers(
    theirs: dict[str, Any], finding: str, tmp_path: Path
) -> None:
    file = tmp_path / "theirs.pt"
    weights = task(**theirs).build(0)["model"].state_dict()
    torch.save({"model_state_dict": weights, "epoch": 86}, file)
    mine = Camouflage(CamouflageConfig.parse(TINY | {"weights": str(file)}))
    with pytest.raises(UserError, match=finding) as error:
        mine.build(0)
    assert "only be trained from scratch" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_the_same_network_loads(tmp_path: Path) -> None:
    file = tmp_path / "theirs.pt"
    weights = task().build(7)["model"].state_dict()
    torch.save(weights, file)
    mine = Camouflage(CamouflageConfig.parse(TINY | {"weights": str(file)})).build(0)["model"]
    assert all(torch.equal(value, weights[name]) for name, value in mine.state_dict().items())
