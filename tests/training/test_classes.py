"""Weights of classes, against scikit-learn and torch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from training.classes import class_weights, cross_entropy
from training.mixing import Mixed

many = st.lists(st.integers(0, 5), min_size=1, max_size=40).map(torch.tensor)
powers = st.floats(0, 3)


@given(labels=many)
def test_power_1_is_balanced_as_in_scikit_learn(labels: torch.Tensor) -> None:
    found = labels.unique()
    expected = compute_class_weight("balanced", classes=found.numpy(), y=labels.numpy())
    got = class_weights(labels, 6, 1.0)[found]
    assert got.tolist() == pytest.approx(expected.tolist(), rel=1e-6)


@given(labels=many, power=powers)
def test_an_average_example_weighs_1(labels: torch.Tensor, power: float) -> None:
    weights = class_weights(labels, 6, power)
    assert float(weights[labels].mean()) == pytest.approx(1, rel=1e-5)


@given(labels=many, power=powers)
def test_weights_are_a_power_of_the_inverse_frequency(labels: torch.Tensor, power: float) -> None:
    counts = torch.bincount(labels, minlength=6)
    scaled = class_weights(labels, 6, power)[counts > 0] * counts[counts > 0] ** power
    assert scaled.tolist() == pytest.approx([float(scaled[0])] * len(scaled), rel=1e-4)


@given(labels=many)
def test_power_0_weighs_all_alike(labels: torch.Tensor) -> None:
    assert set(class_weights(labels, 6, 0.0)[labels].tolist()) == {1.0}


def test_a_class_that_does_not_occur_weighs_nothing() -> None:
    assert class_weights(torch.tensor([0, 2, 2]), 3, 1.0).tolist() == [1.5, 0.0, 0.75]


LOGITS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
WEIGHTS = class_weights(LABELS, 3, 1.0)


def test_over_all_examples_the_loss_is_torchs_weighted_one() -> None:
    """Their mean weight is 1, so dividing by their number or by their weights is the same."""
    expected = F.cross_entropy(LOGITS, LABELS, weight=WEIGHTS)
    got = cross_entropy(LOGITS, LABELS, smoothing=0.0, weights=WEIGHTS)
    assert float(got) == pytest.approx(float(expected), rel=1e-6)


def test_the_weighted_loss_does_not_hang_on_the_split() -> None:
    whole = cross_entropy(LOGITS, LABELS, smoothing=0.1, weights=WEIGHTS)
    parts = [
        cross_entropy(LOGITS[part], LABELS[part], smoothing=0.1, weights=WEIGHTS) * (len(part) / 8)
        for part in torch.arange(8).split(3)
    ]
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-6)


def test_each_label_of_a_mixed_image_has_its_weight() -> None:
    shares = torch.linspace(0, 1, 8)
    other = LABELS.flip(0)
    got = cross_entropy(LOGITS, Mixed(LABELS, other, shares), smoothing=0.0, weights=WEIGHTS)
    losses = -LOGITS.log_softmax(1)
    expected = sum(
        float(s * WEIGHTS[a] * losses[i, a] + (1 - s) * WEIGHTS[b] * losses[i, b])
        for i, (s, a, b) in enumerate(zip(shares, LABELS, other, strict=True))
    )
    assert float(got) == pytest.approx(expected / 8, rel=1e-5)
