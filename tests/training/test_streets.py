"""The task `streets`: its metrics by hand, its loss, its views of images, what it refuses."""

from math import isnan
from typing import Any

import pytest
import torch
from torch import nn
from torchmetrics.classification import MulticlassJaccardIndex

from training.errors import UserError
from training.scenes import Scenes, StreetData, Variants, coloured, cut_out
from training.schedule import Stage
from training.semantic import (
    build_semantic,
    confusion,
    ious,
    layers_of_semantic,
    mean_iou,
    pixel_loss,
    sliding_logits,
)
from training.settings import Augment
from training.street_layout import IGNORED
from training.streets import Streets, StreetsConfig

TINY = {"encoder": "tu-test_resnet"}
ALONE = torch.zeros(1, dtype=torch.int64)


def logits_of(classes: torch.Tensor, num: int) -> torch.Tensor:
    return 10.0 * nn.functional.one_hot(classes, num).permute(0, 3, 1, 2).float()


def test_the_iou_by_hand_with_an_ignored_pixel_and_an_absent_class() -> None:
    true = torch.tensor([[[0, 0, 1, 1], [1, IGNORED, 0, 0]]])
    found = torch.tensor([[[0, 1, 1, 1], [1, 2, 0, 1]]])
    (table,) = confusion(logits_of(found, 4), true, ALONE, 1)
    assert table.sum() == 7, "the ignored pixel counts"
    values = ious(*(part.tolist() for part in (table.diagonal(), table.sum(0), table.sum(1))))
    assert values[:2] == [2 / 4, 3 / 5], "right / (true + predicted - right): 2/(4+2-2), 3/(3+5-3)"
    assert all(map(isnan, values[2:])), "neither labels nor counted predictions have 2 and 3"
    assert mean_iou(values) == pytest.approx((1 / 2 + 3 / 5) / 2)
    assert isnan(mean_iou([float("nan")]))


def test_the_iou_of_each_group_is_that_of_torchmetrics() -> None:
    random = torch.Generator().manual_seed(0)
    true = torch.randint(0, 5, (3, 16, 16), generator=random)
    found = torch.randint(0, 5, (3, 16, 16), generator=random)
    true[:, :2] = IGNORED
    group = torch.tensor([1, 0, 1])
    tables = confusion(logits_of(found, 5), true, group, 3)
    assert tables[2].sum() == 0, "no image is in the third group"
    for at, table in enumerate(tables[:2]):
        mine = group == at
        values = ious(*(part.tolist() for part in (table.diagonal(), table.sum(0), table.sum(1))))
        index = MulticlassJaccardIndex(5, average="none", ignore_index=IGNORED)
        assert values == pytest.approx(index(found[mine], true[mine]).tolist())


def test_no_image_gives_an_empty_table() -> None:
    empty = torch.zeros(0, 8, 8, dtype=torch.int64)
    assert confusion(torch.zeros(0, 3, 8, 8), empty, ALONE[:0], 1).sum() == 0


def test_the_loss_does_not_hang_on_how_a_batch_is_split() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 8, 8, generator=random)
    classes = torch.randint(0, 3, (4, 8, 8), generator=random)
    classes[0] = IGNORED
    classes[1, :4] = IGNORED
    whole = pixel_loss(logits, classes).mean()
    parts = [pixel_loss(logits[part], classes[part]).mean() for part in ([0, 1], [2, 3])]
    assert torch.allclose(whole, torch.stack(parts).mean())
    assert pixel_loss(logits, classes)[0] == 0


def test_sliding_windows_cover_everything_and_agree_where_a_pixel_looks_at_itself_only() -> None:
    model = nn.Conv2d(3, 5, 1)
    images = torch.randn(2, 3, 50, 70)
    with torch.no_grad():
        assert torch.allclose(sliding_logits(model, images, (32, 32)), model(images), atol=1e-5)
        assert torch.equal(sliding_logits(model, images, (50, 70)), model(images))


def test_a_crop_is_a_piece_of_the_image_with_its_own_classes() -> None:
    classes = torch.arange(64 * 96).reshape(1, 64, 96) % 200
    images = (classes[:, None].expand(-1, 3, -1, -1) / 200).float()
    cut, found = cut_out(images, classes, torch.rand(1, 4), (32, 32), Augment())
    middle = slice(2, -2)  # at the rim of a pixel either neighbour may be the nearest
    assert cut.shape == (1, 3, 32, 32) and found.shape == (1, 32, 32)
    row = found[0, 16, middle]
    assert (row.diff() % 200 == 1).all(), f"not a piece of a row: {row.tolist()}"


def test_a_crop_is_where_it_was_under_autocast() -> None:
    images, classes = torch.rand(1, 3, 100, 140), torch.randint(0, 7, (1, 100, 140))
    expected = cut_out(images, classes, torch.full((1, 4), 0.3), (72, 88), Augment())
    with torch.autocast("cpu", torch.bfloat16):
        found = cut_out(images, classes, torch.full((1, 4), 0.3), (72, 88), Augment())
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_what_lies_outside_of_an_image_is_ignored() -> None:
    classes = torch.zeros(1, 32, 32, dtype=torch.int64)
    images = torch.rand(1, 3, 32, 32)
    zoomed_out = torch.zeros(1, 4)  # scale 1 - zoom
    _, found = cut_out(images, classes, zoomed_out, (32, 32), Augment(zoom=0.5))
    assert set(found.unique().tolist()) == {0, IGNORED}
    assert (found == 0).sum() == 16 * 16


def test_a_mirrored_image_has_mirrored_classes() -> None:
    classes = torch.randint(0, 7, (1, 32, 48))
    images = torch.rand(1, 3, 32, 48)
    draws = torch.tensor([[0.5, 0.2, 0.5, 0.5]])
    cut, found = cut_out(images, classes, draws, (32, 48), Augment(flip=True))
    assert torch.equal(found, classes.flip(2))
    assert torch.allclose(cut, images.flip(3), atol=1e-4)


def test_colours_change_and_draws_in_the_middle_change_nothing() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert torch.allclose(coloured(images, torch.full((2, 3), 0.5), 0.5), images, atol=1e-6)
    brighter = coloured(images * 0.4, torch.tensor([[1.0, 0.5, 0.5]] * 2), 0.5)
    assert torch.allclose(brighter, images * 0.6, atol=1e-6)


def data_of(counts: list[int]) -> StreetData:
    """Real images are 0, variants count from 1."""
    real = torch.zeros(len(counts), 2, 2, 4, dtype=torch.uint8)
    made = torch.arange(1, 1 + sum(counts), dtype=torch.uint8)[:, None, None, None].expand(
        -1, 2, 2, 4
    )
    first = torch.tensor([0, *counts]).cumsum(0)
    return StreetData(
        Scenes(real),
        Scenes(real),
        ("a", "b"),
        (),
        torch.zeros(0),
        "",
        Variants(Scenes(made), first),
    )


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0, 0), (0.3, 0.25, 0.35), (1.0, 1, 1)])
def test_variants_replace_images_at_the_rate(rate: float, least: float, most: float) -> None:
    data = data_of([1, 3])
    chosen = torch.arange(2).repeat(2000)
    _, classes = data.mixed(chosen, torch.rand(4000, 2), rate)
    share = (classes[:, 0, 0] > 0).float().mean()
    assert least <= share <= most
    taken = classes[:, 0, 0]
    assert set(taken[chosen == 0].unique().tolist()) <= {0, 1}
    assert set(taken[chosen == 1].unique().tolist()) - {0} == (set() if rate == 0 else {2, 3, 4})


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [("segformer", "mit_b0"), ("pspnet", "resnet18"), ("deeplabv3plus", "tu-test_resnet")],
)
def test_networks_of_the_library_build_and_all_their_parts_are_grouped(
    architecture: str, encoder: str
) -> None:
    model = build_semantic(architecture, encoder, num_classes=3, pretrained=False)
    layers = layers_of_semantic(model)
    assert list(layers) == ["encoder", "decoder", "head"]
    assert sum(map(len, layers.values())) == len(dict(model.named_parameters()))
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"architecture": "segformr"}, "unknown architecture 'segformr' .did you mean 'segformer'"),
        ({"encoder": "mit_b9"}, "unknown encoder 'mit_b9' .did you mean 'mit_b5'"),
        ({"encoder": "tu-nothing"}, "pspnet with encoder tu-nothing"),
        ({"data": "nowhere"}, "data folder nowhere: no such folder"),
        ({"strategy": "gen"}, "unknown strategy of the sample 'gen'"),
    ],
)
def test_names_that_there_are_not_are_told(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Streets(StreetsConfig(**TINY | fields))


def test_a_crop_larger_than_the_image_is_told() -> None:
    with pytest.raises(UserError, match="crop_height: 128 is more than height, 64"):
        StreetsConfig.parse({"crop_height": 128}, "task")


@pytest.mark.parametrize(
    ("config", "stage", "micro_batch", "said"),
    [
        ({"height": 60, "crop_height": 60}, {}, 2, "60 x 96 px, 2 images .*divisible by"),
        ({"architecture": "deeplabv3"}, {}, 1, "1 images in a micro-batch: Expected more than 1"),
        ({}, {"augment": {"mixup": 0.2}}, 2, "cannot be mixed"),
        ({}, {"augment": {"rotate_deg": 5}}, 2, "not rotated"),
        ({}, {"image_size": 64}, 2, "crop_height and crop_width instead"),
    ],
)
def test_what_a_network_or_a_stage_cannot_is_told_beforehand(
    config: dict[str, Any], stage: dict[str, Any], micro_batch: int, said: str
) -> None:
    wanted = Stage.parse({"name": "all", "epochs": 1, "lr": 0.1} | stage)
    with pytest.raises(UserError, match=said):
        Streets(StreetsConfig(**TINY | config)).check(wanted, "s", seed=0, micro_batch=micro_batch)


def test_a_network_takes_one_image_where_batchnorm_is_fixed() -> None:
    task = Streets(StreetsConfig(**TINY | {"architecture": "deeplabv3"}))
    fixed = Stage.parse({"name": "all", "epochs": 1, "lr": 0.1, "batchnorm": "eval_all"})
    task.check(fixed, "s", seed=0, micro_batch=1)


def test_the_rate_matters_to_the_identity_only_where_something_is_mixed_in() -> None:
    alone = [Streets(StreetsConfig(**TINY, rate=rate)).identity() for rate in (0.2, 0.7)]
    assert alone[0] == alone[1]
    mixed = [Streets(StreetsConfig(**TINY, strategy="poor", rate=rate)) for rate in (0.2, 0.7)]
    assert mixed[0].identity() != mixed[1].identity()
    assert (
        mixed[0].fingerprint()
        == mixed[1].fingerprint()
        != Streets(StreetsConfig(**TINY)).fingerprint()
    )
