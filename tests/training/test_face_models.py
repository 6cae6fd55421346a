"""DSR, EdgeFace and ArcFace: shapes, layer groups, published checkpoints, formulas."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.training.helpers import same
from training.checkpoints import load_weights
from training.dsr import DSR, FACE, RESOLUTIONS, bicubic, layers_of_dsr, shrink
from training.edgeface import (
    EMBEDDING,
    VARIANTS,
    EdgeFace,
    LowRank,
    arcface_loss,
    layers_of_edgeface,
    published_name,
)
from training.errors import UserError


def dsr(resolution: int = 16, **sizes: int) -> DSR:
    torch.manual_seed(0)
    return DSR(resolution, **({"num_blocks": 3, "width": 4} | sizes))


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_dsr_begins_as_bicubic_interpolation(resolution: int) -> None:
    low = torch.rand(2, 3, resolution, resolution)
    made = dsr(resolution)(low)
    assert made.shape == (2, 3, FACE, FACE)
    assert torch.equal(made, bicubic(low))


def test_dsr_learns_what_bicubic_cannot() -> None:
    model, truth = dsr(), torch.rand(2, 3, FACE, FACE)
    low = shrink(truth, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = (model(low) - truth).abs().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("num_blocks", "width"), [(2, 4), (5, 8), (16, 12)])
def test_dsr_has_the_blocks_and_the_width_it_is_given(num_blocks: int, width: int) -> None:
    model = dsr(num_blocks=num_blocks, width=width)
    assert len(model.blocks) == num_blocks
    assert model.stem.out_channels == width
    groups = layers_of_dsr(model)
    assert list(groups) == ["stem", "early", "late", "upsampler"]
    early = {name.split(".")[1] for name in groups["early"]}
    assert early == {str(number) for number in range(num_blocks // 2)}
    named = [name for names in groups.values() for name in names]
    assert sorted(named) == sorted(name for name, _ in model.named_parameters())


def test_dropout_is_only_in_training_and_only_where_it_is_asked_for() -> None:
    model, low = dsr(), torch.rand(1, 3, 16, 16)
    nn.init.normal_(model.out.weight)
    plain = model(low)
    assert torch.equal(plain, model(low, dropout=0.0))
    assert not torch.equal(plain, model(low, dropout=0.5))
    assert torch.equal(plain, model.eval()(low, dropout=0.5))


def test_dsr_refuses_another_resolution() -> None:
    with pytest.raises(UserError, match="made for faces of 16 px and is given 24 px"):
        dsr(16)(torch.rand(1, 3, 24, 24))


def test_shrinking_takes_means_over_areas() -> None:
    faces = torch.rand(1, 3, FACE, FACE)
    low = shrink(faces, 16)
    assert torch.allclose(low[0, 1, 2, 5], faces[0, 1, 14:21, 35:42].mean(), atol=1e-6)
    assert shrink(faces, 24).shape == (1, 3, 24, 24)


@pytest.fixture(scope="module")
def xs() -> EdgeFace:
    torch.manual_seed(1)
    return EdgeFace("xs_gamma_06").eval()


def test_edgeface_has_as_many_parameters_as_published(xs: EdgeFace) -> None:
    """1.77 M, the XS variant with gamma 0.6 in Table 1 of arXiv 2307.01838."""
    assert sum(p.numel() for p in xs.backbone.parameters()) == 1_770_492


def test_edgeface_embeds_faces(xs: EdgeFace) -> None:
    faces = torch.rand(2, 3, FACE, FACE)
    with torch.no_grad():
        embeddings = xs(faces)
        again, stages = xs.features(faces)
    assert embeddings.shape == (2, EMBEDDING)
    assert torch.equal(embeddings, again)
    assert [stage.shape[-1] for stage in stages] == [28, 14, 7, 3]


def test_the_rank_of_linear_layers_is_gamma_times_their_smaller_side(xs: EdgeFace) -> None:
    found = [module for module in xs.modules() if isinstance(module, LowRank)]
    assert found
    for layer in found:
        smaller = min(layer.linear1.in_features, layer.linear2.out_features)
        assert layer.linear1.out_features == int(0.6 * smaller)
    plain = [m for m in EdgeFace("xxs").modules() if isinstance(m, LowRank)]
    assert plain == [], "xxs has no low rank"
    assert any(isinstance(m, LowRank) for m in EdgeFace("xxs", gamma=0.5).modules())


def test_cosines_with_the_identities_are_cosines() -> None:
    torch.manual_seed(0)
    model = EdgeFace("xxs").eval()
    model.classify(5)
    faces = torch.rand(2, 3, FACE, FACE)
    with torch.no_grad():
        cosines, embeddings = model(faces, classify=True), model(faces)
    expected = F.cosine_similarity(embeddings[:, None], model.arcface[None], dim=2)
    assert cosines.shape == (2, 5)
    assert torch.allclose(cosines, expected, atol=1e-6)


def test_the_layer_groups_of_edgeface_hold_every_parameter_once(xs: EdgeFace) -> None:
    groups = layers_of_edgeface(xs)
    stages = [f"stages.{number}" for number in range(4)]
    assert list(groups) == ["stem", *stages, "head", "arcface"]
    named = [name for names in groups.values() for name in names]
    assert sorted(named) == sorted(name for name, _ in xs.named_parameters())


def donor() -> dict[str, Tensor]:
    """Weights as the authors' repository saves them."""
    torch.manual_seed(5)
    return {f"model.{name}": w for name, w in EdgeFace("xxs").backbone.state_dict().items()}


LAYOUTS = {
    "published": lambda w: w,
    "timm": lambda w: {name.removeprefix("model."): value for name, value in w.items()},
    "backbone": lambda w: {n.replace("model.", "backbone.", 1): v for n, v in w.items()},
    "data parallel": lambda w: {f"module.{name}": value for name, value in w.items()},
    "model_state_dict": lambda w: {"model_state_dict": w, "epoch": 3},
    "backbone_state_dict": lambda w: {"backbone_state_dict": w, "epoch": 3},
    "ours": lambda w: {"model_state_dict": {"edgeface": w, "dsr": {}}, "key": "k"},
    "with a head": lambda w: {**w, "arcface.weight": torch.zeros(9, EMBEDDING)},
}


def load(path: Path, data: Any) -> EdgeFace:
    torch.save(data, path)
    torch.manual_seed(6)
    model = EdgeFace("xxs")
    load_weights(
        model, str(path), ignore=("arcface",), rename=published_name, part="edgeface", field="x"
    )
    return model


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_checkpoints_load(layout: str, tmp_path: Path) -> None:
    model = load(tmp_path / "w.pt", LAYOUTS[layout](donor()))
    expected = {name.removeprefix("model."): value for name, value in donor().items()}
    same(dict(model.backbone.state_dict()), expected)


def test_names_are_those_of_the_published_xs_variant(xs: EdgeFace) -> None:
    """A few of the names in `edgeface_xs_gamma_06.pt`, as the authors' code makes them."""
    own = {name.replace("backbone.", "model.", 1) for name in xs.state_dict()}
    published = {
        "model.stem.0.weight",
        "model.stages.0.blocks.0.mlp.fc1.linear1.weight",
        "model.stages.1.blocks.2.xca.qkv.linear2.bias",
        "model.stages.1.blocks.2.pos_embd.token_projection.weight",
        "model.stages.3.downsample.1.weight",
        "model.head.norm.weight",
        "model.head.fc.linear1.weight",
        "model.head.fc.linear2.bias",
    }
    assert published - own == set()


def test_a_checkpoint_of_another_variant_is_refused_by_name(tmp_path: Path) -> None:
    torch.manual_seed(5)
    other = EdgeFace("xs_gamma_06").backbone.state_dict()
    with pytest.raises(UserError, match=r"does not fit the model: missing backbone\..*\(x=none\)"):
        load(tmp_path / "w.pt", dict(other))


def test_a_checkpoint_of_another_width_is_refused(tmp_path: Path) -> None:
    torch.save(dsr(width=8).state_dict(), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"of other shape: stem\.weight is \(8, .*from scratch"):
        load_weights(dsr(width=4), str(tmp_path / "w.pt"), ignore=(), field="dsr_weights")


def cosines() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.rand(6, 4, dtype=torch.double) * 1.8 - 0.9, torch.randint(0, 4, (6,))


@pytest.mark.parametrize(("scale", "temperature"), [(8.0, 4.0), (64.0, 1.0), (7.0, 4.5)])
def test_without_margin_it_is_the_softmax(scale: float, temperature: float) -> None:
    values, labels = cosines()
    got = arcface_loss(values, labels, scale=scale, margin=0.0, temperature=temperature)
    expected = F.cross_entropy(values * scale / temperature, labels)
    assert torch.allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("margin", [0.08, 0.1, 0.5])
def test_it_is_the_formula_of_the_paper(margin: float) -> None:
    """Eq. 3 of arXiv 1801.07698, written out."""
    values, labels, scale = *cosines(), 8.0
    terms = []
    for row, label in zip(values.tolist(), labels.tolist(), strict=True):
        own = math.exp(scale * math.cos(math.acos(row[label]) + margin))
        others = sum(math.exp(scale * c) for j, c in enumerate(row) if j != label)
        terms.append(-math.log(own / (own + others)))
    got = arcface_loss(values, labels, scale=scale, margin=margin, temperature=1.0)
    assert got.item() == pytest.approx(sum(terms) / len(terms), rel=1e-9)


def test_a_margin_makes_it_harder_and_never_easier_for_worse_angles() -> None:
    labels = torch.zeros(1, dtype=torch.int64)
    losses = [
        arcface_loss(torch.tensor([[c, 0.0]]), labels, scale=8.0, margin=0.5, temperature=1.0)
        for c in torch.linspace(1, -1, 41).tolist()
    ]
    assert all(a < b for a, b in pairwise(losses)), losses
    plain = arcface_loss(torch.tensor([[0.3, 0.0]]), labels, scale=8.0, margin=0.0, temperature=1.0)
    assert losses[14] > plain


@pytest.mark.parametrize("cosine", [1.0, -1.0, 0.0])
def test_its_gradient_is_finite_at_the_ends(cosine: float) -> None:
    values = torch.tensor([[cosine, 0.1]], requires_grad=True)
    arcface_loss(values, torch.tensor([0]), scale=8.0, margin=0.1, temperature=4.0).backward()
    assert values.grad is not None and values.grad.isfinite().all()


def test_every_variant_is_one_of_timms() -> None:
    import timm

    assert {v.backbone for v in VARIANTS.values()} <= set(timm.list_models("edgenext*"))
