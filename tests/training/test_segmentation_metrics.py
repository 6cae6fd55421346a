"""IoU, Dice, MAE and S-measure on masks made by hand, and against slow references."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.segmentation_metrics import dice, iou, mae, s_measure

SIZE = 8
MEASURES = {"iou": iou, "dice": dice, "mae": mae, "s": s_measure}


def picture(rows: slice, columns: slice) -> Tensor:
    made = torch.zeros(1, 1, SIZE, SIZE)
    made[:, :, rows, columns] = 1
    return made


NOTHING, ALL = torch.zeros(1, 1, SIZE, SIZE), torch.ones(1, 1, SIZE, SIZE)
PIXEL = picture(slice(3, 4), slice(5, 6))
BLOCK = picture(slice(2, 6), slice(2, 6))
SHIFTED = picture(slice(2, 6), slice(4, 8))
# (prediction, mask) -> by hand; S of the last three by the reference below
HAND: dict[str, tuple[Tensor, Tensor, dict[str, float]]] = {
    "all background": (NOTHING, NOTHING, {"iou": 1, "dice": 1, "mae": 0, "s": 1}),
    "found in nothing": (ALL, NOTHING, {"iou": 0, "dice": 0, "mae": 1, "s": 0}),
    "a third in nothing": (ALL / 3, NOTHING, {"iou": 1, "dice": 1, "mae": 1 / 3, "s": 2 / 3}),
    "all foreground": (ALL, ALL, {"iou": 1, "dice": 1, "mae": 0, "s": 1}),
    "missed everything": (NOTHING, ALL, {"iou": 0, "dice": 0, "mae": 1, "s": 0}),
    "right": (BLOCK, BLOCK, {"iou": 1, "dice": 1, "mae": 0, "s": 1}),
    "empty prediction": (NOTHING, BLOCK, {"iou": 0, "dice": 0, "mae": 1 / 4}),
    "half beside": (SHIFTED, BLOCK, {"iou": 1 / 3, "dice": 1 / 2, "mae": 1 / 4}),
    "one pixel": (PIXEL, PIXEL, {"iou": 1, "dice": 1, "mae": 0, "s": 1}),
    "one pixel missed": (NOTHING, PIXEL, {"iou": 0, "dice": 0, "mae": 1 / 64}),
}


@pytest.mark.parametrize("case", HAND)
def test_masks_made_by_hand(case: str) -> None:
    predicted, mask, expected = HAND[case]
    for name, value in expected.items():
        assert MEASURES[name](predicted, mask).tolist() == pytest.approx([value], abs=1e-6), name


def slow_s_measure(predicted: np.ndarray, mask: np.ndarray) -> float:
    """Fan et al. 2017, pixel by pixel, for masks with an object and a background."""
    share = mask.mean()
    if share in (0, 1):
        return float(1 - predicted.mean() if share == 0 else predicted.mean())
    parts = [predicted[mask == 1], 1 - predicted[mask == 0]]
    scores = []
    for part in parts:
        deviation = part.std(ddof=1) if len(part) > 1 else 0.0
        scores.append(2 * part.mean() / (part.mean() ** 2 + 1 + deviation))
    of_object = share * scores[0] + (1 - share) * scores[1]
    row, column = (int(np.round(axis.mean())) + 1 for axis in np.nonzero(mask))
    of_region = 0.0
    for rows in (slice(0, row), slice(row, None)):
        for columns in (slice(0, column), slice(column, None)):
            x, y = predicted[rows, columns].ravel(), mask[rows, columns].ravel()
            if len(x):
                of_region += len(x) / mask.size * similarity(x, y)
    return max(0.0, 0.5 * of_object + 0.5 * of_region)


def similarity(x: np.ndarray, y: np.ndarray) -> float:
    rest = max(len(x) - 1, 1)
    var_x, var_y = ((v - v.mean()) @ (v - v.mean()) / rest for v in (x, y))
    both = (x - x.mean()) @ (y - y.mean()) / rest
    above = 4 * x.mean() * y.mean() * both
    below = (x.mean() ** 2 + y.mean() ** 2) * (var_x + var_y)
    return float(above / below) if above != 0 else float(below == 0)


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
def test_s_measure_is_the_published_one(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    mask = (random.random((height, width)) < random.random()).astype(float)
    predicted = random.random((height, width)).round(2)
    got = s_measure(torch.from_numpy(predicted)[None, None], torch.from_numpy(mask)[None, None])
    assert float(got) == pytest.approx(slow_s_measure(predicted, mask), abs=1e-5)


@pytest.mark.parametrize("case", ["empty prediction", "half beside", "one pixel missed"])
def test_s_measure_by_hand_is_the_published_one(case: str) -> None:
    predicted, mask, _ = HAND[case]
    expected = slow_s_measure(predicted[0, 0].double().numpy(), mask[0, 0].double().numpy())
    assert float(s_measure(predicted, mask)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", MEASURES)
def test_an_image_counts_for_itself_in_any_batch(name: str) -> None:
    cases = [case[:2] for case in HAND.values()]
    together = MEASURES[name](*(torch.cat(part) for part in zip(*cases, strict=True)))
    alone = torch.cat([MEASURES[name](*case) for case in cases])
    assert torch.equal(together, alone)
