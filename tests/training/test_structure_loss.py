"""The structure loss against its formula, pixel by pixel."""

import math

import pytest
import torch

from training.structure_loss import border_weights, structure_terms


def slow_weights(mask: torch.Tensor, window: int) -> torch.Tensor:
    half, (height, width) = window // 2, mask.shape
    made = torch.zeros_like(mask)
    for row in range(height):
        for column in range(width):
            total = 0.0
            for down in range(-half, half + 1):
                for right in range(-half, half + 1):
                    r, c = row + down, column + right
                    total += float(mask[r, c]) if 0 <= r < height and 0 <= c < width else 0.0
            made[row, column] = 1 + 5 * abs(total / window**2 - float(mask[row, column]))
    return made


def test_weights_and_both_terms_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    mask = (torch.rand(1, 1, 24, 24) < 0.4).float()
    logits = torch.randn(1, 1, 24, 24)
    weights = border_weights(mask)
    assert torch.allclose(weights[0, 0], slow_weights(mask[0, 0], 3), atol=1e-6)
    entropy, overlap = structure_terms(logits, mask, weights)
    found = logits.sigmoid()
    each = -(mask * found.log() + (1 - mask) * (1 - found).log())
    common, total = (found * mask * weights).sum(), ((found + mask) * weights).sum()
    assert float(entropy) == pytest.approx(float((weights * each).sum() / weights.sum()), rel=1e-5)
    assert float(overlap) == pytest.approx(float(1 - (common + 1) / (total - common + 1)), rel=1e-5)


@pytest.mark.parametrize(("size", "window"), [(352, 31), (384, 31), (176, 15), (32, 3)])
def test_the_window_shrinks_with_small_images_only(size: int, window: int) -> None:
    mask = torch.zeros(1, 1, size, size)
    mask[..., size // 2, size // 2] = 1
    touched = int((border_weights(mask) > 1).sum())
    assert math.isqrt(touched) == window


def test_a_perfect_map_costs_nothing_and_an_empty_one_does_not_divide_by_zero() -> None:
    mask = torch.zeros(2, 1, 16, 16)
    mask[0, :, 4:9, 4:9] = 1
    logits = (mask * 2 - 1) * 50
    for term in structure_terms(logits, mask, border_weights(mask)):
        assert term.tolist() == pytest.approx([0, 0], abs=1e-6)


def test_each_image_counts_for_itself() -> None:
    torch.manual_seed(1)
    masks, logits = (torch.rand(4, 1, 16, 16) < 0.3).float(), torch.randn(4, 1, 16, 16)
    whole = structure_terms(logits, masks, border_weights(masks))
    for index in range(4):
        one = slice(index, index + 1)
        alone = structure_terms(logits[one], masks[one], border_weights(masks[one]))
        assert [float(t[index]) for t in whole] == pytest.approx([float(t) for t in alone])
