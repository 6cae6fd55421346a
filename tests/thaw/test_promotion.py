"""Rungs that pause and promote, on hand-made tables."""

import math
from random import Random

import pytest

from thaw.promotion import Rungs


def test_the_first_at_a_rung_waits() -> None:
    assert not Rungs([3], reduction=3).passes("a", 3, 0.9)


def test_before_a_rung_everybody_goes_on() -> None:
    assert Rungs([3, 9], reduction=3).passes("a", 2, 0.1)


def test_one_in_three_goes_on_and_whoever_is_best_by_then() -> None:
    rungs = Rungs([3], reduction=3)
    assert [rungs.passes(name, 3, value) for name, value in (("a", 0.5), ("b", 0.9))] == [False] * 2
    assert rungs.promote({"a", "b"}) is None, "two are too few to promote one"
    assert not rungs.passes("c", 3, 0.4)
    assert rungs.promote({"a", "b", "c"}) == "b"
    assert rungs.promote({"a", "c"}) is None


def test_the_best_third_goes_on_at_once() -> None:
    rungs = Rungs([3], reduction=3)
    for name, value in (("a", 0.5), ("b", 0.6)):
        rungs.passes(name, 3, value)
    assert rungs.passes("c", 3, 0.7)


def test_a_stopped_trial_comes_back_when_it_ranks_high_enough_later() -> None:
    rungs = Rungs([3], reduction=3)
    for name, value in (("a", 0.8), ("b", 0.9), ("c", 0.1)):
        rungs.passes(name, 3, value)
    assert rungs.promote({"a", "b", "c"}) == "b"
    for name in "def":
        assert not rungs.passes(name, 3, 0.2)
    assert rungs.promote({"a", "c", "d", "e", "f"}) == "a"


def test_the_highest_rung_comes_first() -> None:
    rungs = Rungs([1, 3], reduction=2)
    for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.6)):
        assert not rungs.passes(name, 1, value)
    assert rungs.promote("abcd") == "a"
    assert not rungs.passes("a", 3, 0.9)
    assert rungs.promote("abcd") == "b"
    assert not rungs.passes("b", 3, 0.8)
    for name in "ef":
        assert not rungs.passes(name, 1, 0.1)
    assert [rungs.promote("abcdef"), rungs.promote("bcdef")] == ["a", "c"], "c waits lower down"


def test_a_promoted_trial_passes_its_rung_when_it_is_replayed() -> None:
    rungs = Rungs([3], reduction=1)
    assert rungs.passes("a", 3, 0.1) and rungs.passes("a", 3, 0.1)


def test_nan_is_never_promoted() -> None:
    rungs = Rungs([3], reduction=1)
    assert not rungs.passes("a", 3, math.nan)
    assert rungs.promote({"a"}) is None


def test_at_the_end_each_rung_promotes_one() -> None:
    rungs = Rungs([3], reduction=3)
    rungs.passes("a", 3, 0.5)
    rungs.passes("b", 3, 0.6)
    assert rungs.promote({"a", "b"}, at_least=1) == "b"
    assert rungs.promote({"a"}, at_least=1) is None


@pytest.mark.parametrize("seed", range(5))
def test_in_the_end_the_best_third_has_been_promoted(seed: int) -> None:
    random, rungs = Random(seed), Rungs([1], reduction=3)
    values = {str(number): random.random() for number in range(60)}
    paused, promoted = set[str](), set[str]()
    for name, value in values.items():
        (promoted if rungs.passes(name, 1, value) else paused).add(name)
        while (found := rungs.promote(paused)) is not None:
            paused.remove(found)
            promoted.add(found)
    best = sorted(values, key=lambda name: -values[name])[:20]
    assert set(best) <= promoted
    assert len(promoted) < 60 / 3 + 15, "early ones are promoted among few"
