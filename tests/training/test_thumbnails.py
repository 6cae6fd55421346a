"""Drawings in records: which images, what a pixel keeps, how large they are."""

import json

import numpy as np
import pytest
import torch

from training.thumbnails import blank, drawn, packed, shown, unpacked

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("num", "expected"), [(1, [0]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (64, [0, 16, 32, 48])]
)
def test_the_images_lie_evenly_in_the_set(num: int, expected: list[int]) -> None:
    assert shown(num) == expected


def all_drawn(predicted: torch.Tensor, batch: int, side: int) -> torch.Tensor:
    """Draw image by image of a set, in batches."""
    num = len(predicted)
    drawings, places = blank(num, side, CPU), torch.tensor(shown(num))
    for chosen in torch.arange(num).split(batch):
        drawings += drawn(predicted[chosen], chosen, places, drawings.shape[-1])
    return drawings


def test_what_is_kept_is_the_prediction_in_sixteen_levels() -> None:
    predicted = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    rows = packed(all_drawn(predicted, 3, 8).long())
    again = json.loads(json.dumps(rows))
    found = unpacked(again) / 255
    assert found.shape == (4, 8, 8)
    apart = np.abs(found - predicted[shown(7), 0].numpy())
    assert apart.max() <= 0.5 / 15 + 1e-6


def test_the_batch_does_not_matter() -> None:
    predicted = torch.rand(9, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(all_drawn(predicted, 2, 16), all_drawn(predicted, 9, 16))


def test_black_and_white_stay_so() -> None:
    predicted = torch.zeros(4, 1, 5, 5)
    predicted[1] = 1.0
    found = unpacked(packed(all_drawn(predicted, 4, 5).long()))
    assert (found[1] == 255).all() and not found[[0, 2, 3]].any()


def test_large_images_are_drawn_small() -> None:
    drawings = all_drawn(torch.rand(4, 1, 448, 448), 4, 448)
    assert drawings.shape == (4, 48, 48)
    assert len(json.dumps(packed(drawings.long()))) < 13_000


def test_a_network_that_went_to_nan_draws_black() -> None:
    predicted = torch.full((4, 1, 8, 8), float("nan"))
    predicted[1] = 1.0
    found = unpacked(packed(all_drawn(predicted, 4, 8).long()))
    assert (found[1] == 255).all() and not found[[0, 2, 3]].any()
