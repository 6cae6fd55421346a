"""Which examples a segment uses: fractions that hold one another, classes in equal numbers."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.helpers import TinyTask, facts, schedule, stage
from training.order import balanced, epoch_order, used_examples
from training.settings import Settings

TINY = TinyTask()
LABELS = TINY.class_labels("target")

some_labels = st.lists(st.integers(0, 4), min_size=1, max_size=50).map(torch.tensor)


def settings(index: int = 0, **fields: Any) -> Settings:
    found = schedule(stage(epochs=1, **fields)).next([], facts(TINY))
    assert found is not None
    return replace(found, index=index)


def taken(labels: torch.Tensor, num: int, seed: int = 0) -> torch.Tensor:
    return balanced(labels, num, torch.Generator().manual_seed(seed))


@given(labels=some_labels, num=st.integers(1, 200))
def test_classes_differ_by_at_most_one(labels: torch.Tensor, num: int) -> None:
    chosen = taken(labels, num)
    counts = torch.bincount(labels[chosen], minlength=5)[labels.unique()]
    assert len(chosen) == num
    assert int(counts.max() - counts.min()) <= 1, counts.tolist()


@given(labels=some_labels, num=st.integers(1, 200))
def test_within_a_class_examples_differ_by_at_most_one(labels: torch.Tensor, num: int) -> None:
    times = torch.bincount(taken(labels, num), minlength=len(labels))
    for label in labels.unique():
        of_class = times[labels == label]
        assert int(of_class.max() - of_class.min()) <= 1, of_class.tolist()


@given(labels=some_labels, seed=st.integers(0, 2**32))
def test_equal_seeds_give_equal_orders(labels: torch.Tensor, seed: int) -> None:
    assert torch.equal(taken(labels, 40, seed), taken(labels, 40, seed))


def test_which_class_has_one_more_is_left_to_chance() -> None:
    labels = torch.tensor([0, 1, 2])
    more = {int(torch.bincount(labels[taken(labels, 4, seed)]).argmax()) for seed in range(40)}
    assert more == {0, 1, 2}


def test_the_order_is_mixed() -> None:
    labels = torch.arange(5).repeat_interleave(20)
    runs = int((labels[taken(labels, 100)].diff() != 0).sum())
    assert runs > 50, f"only {runs} changes of class in 100 examples"


def test_balanced_and_shuffled_epochs_have_the_same_steps() -> None:
    """48 examples in batches of 20: the two that fit, and what is over is left out."""
    for name in ("shuffle", "balanced"):
        asked = settings(sampler=name, batch_size=20)
        steps = epoch_order(TINY, asked, 0).split(20)[: asked.num_steps]
        assert [len(step) for step in steps] == [20, 20], name


def test_a_balanced_epoch_is_exact_over_the_steps_that_are_made() -> None:
    chosen = epoch_order(TINY, settings(sampler="balanced", batch_size=20), 0)
    assert torch.bincount(LABELS[chosen]).tolist() == [10, 10, 10, 10]
    assert torch.bincount(LABELS).tolist() != [12, 12, 12, 12], "the data was balanced before"


@pytest.mark.parametrize("sampler", ["shuffle", "balanced"])
def test_a_segment_longer_than_the_data_has_all_its_steps(sampler: str) -> None:
    asked = replace(settings(sampler=sampler), lrs=(0.1,) * 7)
    assert len(epoch_order(TINY, asked, 0)[: 7 * 16]) == 7 * 16


def test_a_shuffled_epoch_takes_every_example_once() -> None:
    assert sorted(epoch_order(TINY, settings(), 0).tolist()) == list(range(48))


@pytest.mark.parametrize("sampler", ["shuffle", "balanced"])
def test_epochs_and_seeds_have_orders_of_their_own(sampler: str) -> None:
    one, again, later, other = (
        epoch_order(TINY, settings(index, sampler=sampler), seed).tolist()
        for index, seed in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert one == again
    assert one != later and one != other


@given(small=st.floats(0.1, 1), large=st.floats(0.1, 1))
def test_a_smaller_share_is_part_of_a_larger_one(small: float, large: float) -> None:
    small, large = sorted((small, large))
    few, many = (set(used_examples(97, f, "target", 3).tolist()) for f in (small, large))
    assert few <= many
    assert len(few) == round(97 * small)


@pytest.mark.parametrize("sampler", ["shuffle", "balanced"])
def test_only_the_share_is_used(sampler: str) -> None:
    asked = settings(sampler=sampler, data_fraction=0.5)
    used = set(used_examples(48, 0.5, "target", 0).tolist())
    assert set(epoch_order(TINY, asked, 0).tolist()) <= used
