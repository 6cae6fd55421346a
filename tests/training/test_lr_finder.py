"""The range test: its LR, smoothing and suggestions against their definitions; no traces."""

import math
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.helpers import TinyTask, facts, schedule, stage
from tests.training.test_memory import Crowded
from training.live import Live
from training.lr_finder import RangeTest, range_test, smooth, steepest, valley
from training.settings import Compute, Settings

HEAD = {"head": 1.0, "*": "frozen"}


def settings_of(task: TinyTask, **fields: object) -> Settings:
    found = schedule(stage(**fields)).next([], facts(task))
    assert found is not None
    return found


def run(task: TinyTask, **options: float) -> tuple[RangeTest, Live]:
    live = Live(task, 0, "cpu")
    found = range_test(live, task, settings_of(task, groups=HEAD), 0, **options)  # type: ignore[arg-type]
    return found, live


def test_the_lr_grows_by_one_factor_from_the_lowest_to_the_highest() -> None:
    found, _ = run(TinyTask(), lowest=1e-5, highest=1e-1, num_steps=40)
    assert found.lrs == pytest.approx(tuple(1e-5 * 1e4 ** (step / 40) for step in range(40)))
    assert not found.exploded


def test_it_ends_when_the_loss_has_exploded() -> None:
    found, _ = run(TinyTask(), lowest=1e-4, highest=1e6, num_steps=60)
    assert found.exploded and len(found.lrs) < 60
    *before, last = found.smoothed
    assert not math.isfinite(last) or last > 4 * min(before)
    lowest = np.minimum.accumulate(before)
    assert all(loss <= 4 * best for loss, best in zip(before, lowest, strict=True))


def test_only_the_chosen_groups_train() -> None:
    task = TinyTask()
    live = Live(task, 0, "cpu")
    live.prepare(settings_of(task, groups=HEAD))
    before = {name: value.clone() for name, value in live.models.named_parameters()}
    range_test(live, task, settings_of(task, groups=HEAD), 0, lowest=1e-3, highest=1.0)
    changed = {n for n, v in live.models.named_parameters() if not torch.equal(v, before[n])}
    assert changed and all("fc" in name for name in changed), changed


def test_it_is_the_same_twice() -> None:
    task = TinyTask()
    assert run(task, num_steps=30)[0] == run(task, num_steps=30)[0]


def test_an_epoch_shorter_than_the_test_is_gone_through_again() -> None:
    task = TinyTask(num=16)
    found, _ = run(task, lowest=1e-6, highest=1e-4, num_steps=25)
    assert len(found.losses) == 25


def test_a_step_that_memory_did_not_hold_counts_once() -> None:
    def heard(task: TinyTask) -> RangeTest:
        asked = settings_of(task, batchnorm="eval_all")
        return range_test(Live(task, 0, "cpu"), task, asked, 0, num_steps=20)

    whole, split = heard(TinyTask()), heard(Crowded(room=4))
    assert len(split.losses) == len(split.lrs) == 20
    assert split.losses == pytest.approx(whole.losses, rel=1e-4)


def test_a_model_that_starts_anew_does_so_once() -> None:
    task = TinyTask()
    asked, built = settings_of(task, restart=True), []
    live, build = Live(task, 0, "cpu"), task.build
    task.build = lambda seed: built.append(seed) or build(seed)  # type: ignore[method-assign,func-returns-value]
    range_test(live, task, asked, 0, lowest=1e-5, highest=1e-3, num_steps=20)
    assert len(built) == 1


def test_every_step_is_heard_where_a_schedule_asks_for_cuda_graphs() -> None:
    task = TinyTask()
    asked = replace(settings_of(task), compute=Compute(cuda_graphs=True))
    found = range_test(Live(task, 0, "cpu"), task, asked, 0, num_steps=20)
    assert len(found.losses) == 20


def test_smoothing_is_fastais() -> None:
    losses = [2.0, 1.0, 4.0]
    mean, expected = 0.0, []
    for count, loss in enumerate(losses, 1):
        mean = 0.98 * mean + 0.02 * loss
        expected.append(mean / (1 - 0.98**count))
    assert smooth(losses) == pytest.approx(expected)
    assert smooth(losses)[0] == pytest.approx(2.0)


def made(losses: list[float], num_planned: int | None = None) -> RangeTest:
    """A range test whose suggestions look at all losses but the last 5."""
    lrs = tuple(10.0 ** (-6 + 0.1 * step) for step in range(len(losses)))
    return RangeTest(lrs, tuple(losses), tuple(losses), num_planned or 1)


def test_steepest_is_where_the_loss_falls_most_over_log_lr() -> None:
    losses = [5.0, 5.0, 4.9, 4.0, 2.0, 1.9, 1.9, *[9.0] * 5]
    test = made(losses)
    assert steepest(test) == test.lrs[3]


@given(st.lists(st.integers(0, 6), min_size=4, max_size=9))
def test_valley_is_the_rule_of_esri(losses: list[int]) -> None:
    test = made([float(loss) for loss in losses] + [0.0] * 5)
    longest = max(
        size
        for size in range(1, len(losses) + 1)
        for chosen in combinations(losses, size)
        if all(a > b for a, b in pairwise(chosen))
    )
    end = next(
        end
        for end in range(len(losses))
        if any(
            chosen[-1] == end and all(losses[a] > losses[b] for a, b in pairwise(chosen))
            for chosen in combinations(range(end + 1), longest)
        )
    )
    index = end - longest + int(longest / 3) + int(longest / 3 / 2)
    assert valley(test) == (test.lrs[max(0, index)] if longest > 1 else None)


def test_the_first_tenth_and_the_last_five_are_not_looked_at() -> None:
    test = replace(made([9.0] * 10 + [8.0, 7.0, 6.0, 5.0, 4.0] + [0.0] * 5), num_planned=100)
    assert test.trusted() == slice(10, 15)
    assert steepest(test) in test.lrs[10:15]


def test_what_is_no_number_is_not_looked_at() -> None:
    test = made([5.0, 4.0, 3.0, 2.0, 1.0, math.nan] + [1.0] * 10)
    assert test.trusted() == slice(0, 5)


def test_too_few_steps_suggest_nothing() -> None:
    assert valley(made([1.0] * 8)) is None and steepest(made([1.0] * 8)) is None


def test_a_loss_that_never_falls_suggests_nothing() -> None:
    test = made([1.0, 1.0, 1.1, 1.5, 2.0, *[0.0] * 5])
    assert valley(test) is None and steepest(test) is None
