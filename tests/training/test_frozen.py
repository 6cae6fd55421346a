"""Layer groups, and that frozen means frozen."""

from collections import Counter
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.training.helpers import TinyTask, facts, run, schedule, stage, state
from training.errors import UserError
from training.layers import layers_by_pattern, layers_of_timm, match_layers
from training.live import Live
from training.optimizers import SGD, AdamW, build_optimizer
from training.segment import train_segment
from training.settings import Settings
from training.store import Store

TINY = TinyTask()
MODEL = TINY.create(2)
LAYERS = TINY.layers()["model"]
BATCHNORMS = ["train", "eval_frozen", "eval_all"]
PATTERNS: dict[str, dict[str, Any]] = {
    "head": {"head": 1.0, "*": "frozen"},
    "part": {"head": 1.0, "layer4": 0.3, "*": "frozen"},
    "middle": {"layer2": 1.0, "*": "frozen"},
    "stem": {"stem": 1.0, "*": "frozen"},
    "full": {"*": 1.0},
}


def settings(**fields: Any) -> Settings:
    """Return the settings of a first segment of one epoch."""
    found = schedule(stage(epochs=1, **fields)).next([], facts(TINY))
    assert found is not None
    return found


def trained(**fields: Any) -> tuple[Live, dict[str, torch.Tensor], Settings]:
    """Return the live state after a segment, the tensors before it, and its settings."""
    asked = settings(**fields)
    live = Live(TINY, 0, "cpu")
    live.prepare(asked)
    before = {name: t.clone() for name, t in live.models["model"].state_dict().items()}
    train_segment(live, TINY, asked, seed=0)
    return live, before, asked


def owner(name: str) -> str:
    return next(layer for layer, names in LAYERS.items() if name in names)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_exactly_the_trainable_parameters_change(pattern: str, optimizer: str) -> None:
    live, before, asked = trained(groups=PATTERNS[pattern], optimizer={"kind": optimizer})
    multipliers = dict(asked.multipliers)
    for name, parameter in live.models["model"].named_parameters():
        moved = not torch.equal(parameter, before[name])
        assert moved == (multipliers[owner(name)] is not None), name


@pytest.mark.parametrize("pattern", PATTERNS)
def test_frozen_parameters_have_neither_gradient_nor_optimizer_state(pattern: str) -> None:
    live, _, asked = trained(groups=PATTERNS[pattern])
    multipliers = dict(asked.multipliers)
    assert live.optimizer is not None
    for name, parameter in live.models["model"].named_parameters():
        frozen = multipliers[owner(name)] is None
        assert parameter.grad is None, name
        assert parameter.requires_grad != frozen, name
        assert (parameter in live.optimizer.state) != frozen, name


def test_a_parameter_that_is_frozen_again_keeps_its_optimizer_state(tmp_path: Path) -> None:
    """A kept optimizer has its momenta when the group thaws again."""
    frozen = {"groups": PATTERNS["head"], "keep_optimizer": True}
    plan = schedule(stage(epochs=1), stage(epochs=1, **frozen))
    store = Store(str(tmp_path))
    first, second = (state(store, v.record.key)["optimizer"] for v in run(plan, store, TINY))
    steps = [[float(s["step"]) for s in o["state"].values()] for o in (first, second)]
    num_head = len(LAYERS["head"])
    num_other = len(steps[0]) - num_head
    assert Counter(steps[0]) == {3.0: num_head + num_other}
    assert Counter(steps[1]) == {3.0: num_other, 6.0: num_head}


def statistics_moved(pattern: str, batchnorm: str) -> dict[str, bool]:
    """Return layer group -> whether its running statistics moved; groups are all of one kind."""
    live, before, _ = trained(groups=PATTERNS[pattern], batchnorm=batchnorm)
    after = live.models["model"].state_dict()
    moved: dict[str, bool] = {}
    for name in (n for n in after if n.endswith("running_mean")):
        layer = owner(name.replace("running_mean", "weight"))
        changed = not torch.equal(before[name], after[name])
        assert moved.setdefault(layer, changed) == changed, name
    return moved


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("batchnorm", BATCHNORMS)
def test_which_running_statistics_move(pattern: str, batchnorm: str) -> None:
    trains = {
        layer: next(v for row, v in PATTERNS[pattern].items() if fnmatchcase(layer, row))
        != "frozen"
        != next(v for row, v in PATTERNS[pattern].items() if fnmatchcase(layer, row))
        for layer in LAYERS
    }
    expected = {
        "train": dict.fromkeys(LAYERS, True),
        "eval_frozen": trains,
        "eval_all": dict.fromkeys(LAYERS, False),
    }[batchnorm]
    assert statistics_moved(pattern, batchnorm) == {
        layer: moves
        for layer, moves in expected.items()
        if layer != "head"  # has none
    }


def test_eval_all_freezes_the_weights_of_batchnorm() -> None:
    live, before, _ = trained(batchnorm="eval_all")
    for name, parameter in live.models["model"].named_parameters():
        of_norm = isinstance(
            live.models["model"].get_submodule(name.rpartition(".")[0]), nn.BatchNorm2d
        )
        assert torch.equal(parameter, before[name]) == of_norm, name


@pytest.mark.parametrize("batchnorm", BATCHNORMS)
def test_a_policy_ends_with_its_stage(batchnorm: str) -> None:
    live, _, _ = trained(batchnorm=batchnorm, groups=PATTERNS["head"])
    live.prepare(settings())
    norms = [m for m in live.models["model"].modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.training and m.weight.requires_grad for m in norms)


names = st.sampled_from(sorted(LAYERS))
rows = st.one_of(names, names.map(lambda n: n[:3] + "*"), st.just("*"))
values = st.one_of(st.floats(0.01, 10), st.just("frozen"))
tables = st.dictionaries(rows, values, min_size=1).map(lambda t: {**t, "*": 1.0})


@given(table=tables)
def test_every_layer_group_gets_the_first_row_that_matches(table: dict[str, Any]) -> None:
    try:
        taken = match_layers(table, tuple(LAYERS), "groups")
    except UserError as error:
        assert "has no effect" in str(error)
        return
    for layer, row in taken.items():
        matching = [pattern for pattern in table if fnmatchcase(layer, pattern)]
        assert row == matching[0], f"{layer} by {row} of {table}"
    assert list(taken) == list(LAYERS)


@given(splits=st.lists(st.integers(0, 40), max_size=6), adam=st.booleans())
def test_every_parameter_is_in_exactly_one_optimizer_group(splits: list[int], adam: bool) -> None:
    parameters = [name for name, _ in MODEL.named_parameters()]
    borders = [0, *sorted(set(splits) - {0}), len(parameters)]
    groups = {f"g{a}": tuple(parameters[a:b]) for a, b in pairwise(borders)}
    optimizer = build_optimizer(AdamW() if adam else SGD(), MODEL, groups, fused=False)
    held = Counter(id(p) for group in optimizer.param_groups for p in group["params"])
    assert held == {id(p): 1 for p in MODEL.parameters()}
    assert [group["name"] for group in optimizer.param_groups] == list(groups)


@given(table=st.permutations(["stem", "layer1", "layer2", "layer3", "layer4", "head"]))
def test_every_parameter_is_in_exactly_one_layer_group(table: list[str]) -> None:
    patterns = {"stem": r"conv1|bn1|stem", "head": "fc"} | {
        f"layer{i}": f"layer{i}" for i in range(1, 5)
    }
    found = layers_by_pattern(MODEL, {name: patterns[name] for name in table})
    held = Counter(name for members in found.values() for name in members)
    assert held == {name: 1 for name, _ in MODEL.named_parameters()}
    assert {n: set(m) for n, m in found.items()} == {n: set(m) for n, m in LAYERS.items()}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"head": 1.0, "layer9": 0.1, "*": 1.0}, r"unknown layer group .*'layer9'.*allowed: stem"),
        ({"head": 1.0}, r"no row covers the layer group 'stem'"),
        ({"*": 1.0, "head": 0.1}, r"row 'head' has no effect: '\*' stands before it"),
        ({"lay*": 1.0, "layer4": 0.1, "*": 1.0}, r"row 'layer4' has no effect: 'lay\*' stands"),
    ],
)
def test_a_row_that_takes_nothing_is_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        schedule(stage(groups=table)).check(facts(TINY))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"a": "layer", "b": "lair", "c": ""},
            r"layers\.b: the pattern 'lair' matches no param.*fc",
        ),
        ({"a": "", "b": "fc"}, r"layers\.b: the pattern 'fc' matches no param.*earlier row"),
        ({"a": "layer"}, r"no pattern matches the parameter 'conv1\.0\.weight'"),
        ({"a": "(", "b": ""}, r"'\(' is no regular expression"),
    ],
)
def test_a_pattern_that_takes_nothing_is_named(table: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        layers_by_pattern(MODEL, table)


NAMES = {
    "test_resnet": ["stem", "layer1", "layer2", "layer3", "layer4", "head"],
    "resnet18": ["stem", "layer1", "layer2", "layer3", "layer4", "head"],
    "convnext_atto": ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"],
    "vit_tiny_patch16_224": ["stem", *(f"blocks.{i}" for i in range(12)), "head"],
    "efficientnet_b0": ["stem", *(f"blocks.{i}" for i in range(7)), "head"],
}


@pytest.mark.parametrize("name", NAMES)
def test_the_groups_of_timm_models_run_from_the_stem_to_the_head(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=2)
    found = layers_of_timm(model)
    assert list(found) == NAMES[name]
    held = Counter(name for members in found.values() for name in members)
    assert held == {name: 1 for name, _ in model.named_parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_the_head_of_timm_models_holds_the_classifier(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=2)
    classifier = model.get_classifier()
    members = {
        n for n, p in model.named_parameters() if any(p is q for q in classifier.parameters())
    }
    assert members <= set(layers_of_timm(model)["head"])
