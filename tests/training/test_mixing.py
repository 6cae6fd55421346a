"""Mixup and CutMix: the papers' arithmetic, and pairs that do not hang on the split."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.training.helpers import TinyTask, facts, schedule, stage
from training.classes import cross_entropy, num_right
from training.images import NUM_DRAWS
from training.mixing import Mixed, draw, mix, own_draws, partner_draws, partners, quantiles
from training.randomness import generator
from training.settings import Augment, Settings

BOTH = Augment(mixup=0.4, cutmix=1.0)
UNIFORM, KIND, X, Y = range(-4, 0)


def batch(num: int = 6, height: int = 8, width: int = 10, seed: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(num, 3, height, width, generator=random)


def drawn(config: Augment, num: int = 6, seed: int = 0, **fixed: float) -> torch.Tensor:
    """Return the draws of a batch, with some of the batch's own numbers fixed."""
    draws = draw(torch.arange(num), config, torch.Generator().manual_seed(seed))
    for name, value in fixed.items():
        draws[:, {"uniform": UNIFORM, "kind": KIND, "x": X, "y": Y}[name]] = value
    return draws


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float = 1e-6) -> None:
    gap = float((one - other).abs().max())
    assert gap <= tolerance, f"largest difference {gap}"


def test_the_augmentation_of_an_example_does_not_change_with_mixing() -> None:
    plain, mixed = drawn(Augment()), drawn(BOTH)
    assert torch.equal(plain, own_draws(mixed))
    assert plain.shape == (6, NUM_DRAWS)


@given(chosen=st.lists(st.integers(0, 2**31), min_size=1, max_size=9, unique=True))
def test_every_example_of_a_batch_is_once_the_partner_of_the_one_after(chosen: list[int]) -> None:
    draws = draw(torch.tensor(chosen), BOTH, torch.Generator().manual_seed(0))
    assert partners(draws).tolist() == [chosen[-1], *chosen[:-1]]
    assert torch.equal(partner_draws(draws), own_draws(draws).roll(1, 0))


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 8.0, 50.0])
def test_the_shares_are_those_of_the_beta_distribution(alpha: float) -> None:
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(3))
    got = quantiles(alpha, uniform)
    close(got, torch.from_numpy(stats.beta.ppf(uniform.numpy(), alpha, alpha)).float(), 2e-4)
    at = np.linspace(0.01, 0.99, 99)
    shares = np.searchsorted(np.sort(got.numpy()), at) / len(got)
    gap = np.abs(shares - stats.beta(alpha, alpha).cdf(at)).max()
    assert gap < 1.63 / np.sqrt(len(got)), f"Kolmogorov-Smirnov distance {gap}"


def test_mixup_is_the_papers() -> None:
    config, one, other = Augment(mixup=0.4), batch(), batch(seed=2)
    got, share = mix(one, other, drawn(config, uniform=0.7), config)
    expected = float(stats.beta.ppf(0.7, 0.4, 0.4))
    close(share, torch.full((6,), expected), 1e-4)
    close(got, expected * one + (1 - expected) * other, 1e-4)


def cut(one: np.ndarray, other: np.ndarray, share: float, x: float, y: float) -> Any:
    """Cut and fill as the code of the CutMix paper does; return images and the real share."""
    height, width = one.shape[-2:]
    # Single precision by the same root, since floors turn the last bit into a pixel.
    side = (1 - torch.tensor(share)).sqrt().numpy()
    half_h, half_w = int(height * side / 2), int(width * side / 2)
    middle_y, middle_x = int(np.float32(y) * height), int(np.float32(x) * width)
    top, bottom = (int(np.clip(middle_y + s * half_h, 0, height)) for s in (-1, 1))
    left, right = (int(np.clip(middle_x + s * half_w, 0, width)) for s in (-1, 1))
    mixed = one.copy()
    mixed[..., top:bottom, left:right] = other[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


unit = st.floats(0, 0.9375, width=32)


@given(uniform=unit, x=unit, y=unit)
def test_cutmix_is_the_papers(uniform: float, x: float, y: float) -> None:
    config, one, other = Augment(cutmix=1.0), batch(), batch(seed=2)
    draws = drawn(config, uniform=uniform, x=x, y=y)
    got, share = mix(one, other, draws, config)
    of_beta = float(quantiles(1.0, torch.tensor([uniform]))[0])
    expected, real = cut(one.numpy(), other.numpy(), of_beta, x, y)
    assert torch.equal(got, torch.from_numpy(expected))
    assert share.tolist() == pytest.approx([real] * 6, abs=1e-6)


@pytest.mark.parametrize(("kind", "one_box"), [(0.49, True), (0.5, False)])
def test_with_both_on_a_batch_takes_one_of_them(kind: float, one_box: bool) -> None:
    one, other = torch.zeros(6, 3, 8, 8), torch.ones(6, 3, 8, 8)
    draws = drawn(BOTH, kind=kind, uniform=0.5, x=0.5, y=0.5)
    values = mix(one, other, draws, BOTH)[0].unique().tolist()
    assert values == ([0.0, 1.0] if one_box else [pytest.approx(0.5)])


@given(uniform=unit, kind=unit, x=unit, y=unit)
def test_the_share_is_that_of_the_pixels(uniform: float, kind: float, x: float, y: float) -> None:
    draws = drawn(BOTH, uniform=uniform, kind=kind, x=x, y=y)
    got, share = mix(torch.ones(6, 1, 9, 7), torch.zeros(6, 1, 9, 7), draws, BOTH)
    close(got.mean((1, 2, 3)), share, 1e-5)


shares = st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5)


@given(shares=shares, smoothing=st.floats(0, 0.5))
def test_the_loss_is_that_of_soft_targets(shares: list[float], smoothing: float) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, generator=random)
    first, second = torch.randint(0, 4, (2, 5), generator=random)
    share = torch.tensor(shares)
    target = share[:, None] * F.one_hot(first, 4) + (1 - share)[:, None] * F.one_hot(second, 4)
    expected = F.cross_entropy(logits, target, label_smoothing=smoothing)
    got = cross_entropy(logits, Mixed(first, second, share), smoothing=smoothing, weights=None)
    close(got, expected, 1e-5)


def test_the_train_accuracy_counts_both_labels_by_their_shares() -> None:
    logits = torch.eye(3)
    mixed = Mixed(
        torch.tensor([0, 1, 0]), torch.tensor([1, 1, 2]), torch.tensor([0.75, 0.125, 0.25])
    )
    assert float(num_right(logits, mixed)) == 0.75 + 1.0 + 0.75
    assert int(num_right(logits, mixed.first)) == 2


TINY = TinyTask()


def segment(accumulate: int) -> Settings:
    fields = {"augment": {"mixup": 0.4, "cutmix": 1.0, "shift": 0.1}, "accumulate": accumulate}
    found = schedule(stage(epochs=1, batch_size=12, **fields)).next([], facts(TINY))
    assert found is not None
    return found


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_the_parts_of_a_batch_have_the_gradient_of_the_whole(parts: int) -> None:
    """Also of unequal parts: what an example is mixed with has left with its other part."""
    settings, model = segment(1), TINY.build(0)["model"].eval()
    TINY.adapt(torch.nn.ModuleDict({"model": model}), "target", 0)
    chosen = torch.randperm(48, generator=torch.Generator().manual_seed(5))[:12]
    draws = TINY.draw(chosen, settings, generator(0, 0, "draws"))
    found = []
    for num in (1, parts):
        model.zero_grad()
        for one, numbers in zip(chosen.tensor_split(num), draws.tensor_split(num), strict=True):
            loss, _ = TINY.loss({"model": model}, one, numbers, settings)
            (loss * len(one) / len(chosen)).backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    close(found[1], found[0], 1e-5)
