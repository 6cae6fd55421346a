"""Pools of scores: quantiles of the runs, and of the shipped table where they are few."""

import numpy as np
import pytest

from analysis.backtest import back_test
from analysis.conformal import DEFAULT_RUNS, RATIOS, pool_of, widening
from analysis.curves import make_curve
from analysis.default_scores import DEFAULT_SCORES

LEVELS = np.array([0.05, 0.1, 0.5, 0.9, 0.95])
NONE = np.empty((0, len(RATIOS)))


def test_the_shipped_table_is_one_of_quantiles() -> None:
    assert DEFAULT_SCORES.shape == (len(RATIOS), 20)
    assert np.all(np.diff(DEFAULT_SCORES) >= 0)


def test_with_no_runs_the_table_rules_but_for_what_few_runs_leave_open() -> None:
    table = np.tile(np.linspace(-2, 2, 200), (len(RATIOS), 1))
    wider = 0.5 + (LEVELS - 0.5) * (DEFAULT_RUNS + 0.5) / DEFAULT_RUNS
    expected = np.quantile(table[0], wider, method="hazen")
    assert pool_of(NONE, table).quantiles(2.0, LEVELS) == pytest.approx(expected)


def test_with_many_runs_they_rule_themselves() -> None:
    scores = np.random.default_rng(0).standard_normal((5000, len(RATIOS)))
    found = pool_of(scores, DEFAULT_SCORES + 100).quantiles(5.0, np.array([0.1, 0.5, 0.9]))
    assert found == pytest.approx([-1.28, 0, 1.28], abs=0.1)


def test_runs_that_were_not_tried_do_not_count() -> None:
    scores = np.full((50, len(RATIOS)), np.nan)
    assert pool_of(scores).num_runs == (DEFAULT_RUNS,) * len(RATIOS)


def test_between_two_ratios_quantiles_are_interpolated() -> None:
    table = np.arange(len(RATIOS))[:, None] + np.linspace(-1, 1, 20)
    between = float(np.sqrt(RATIOS[2] * RATIOS[3]))
    assert pool_of(NONE, table).quantiles(between, np.array([0.5])) == pytest.approx([2.5])


@pytest.mark.parametrize(("ratio", "like"), [(1.01, RATIOS[0]), (50.0, RATIOS[-1])])
def test_outside_of_all_ratios_the_nearest_rules(ratio: float, like: float) -> None:
    pool = pool_of(NONE)
    assert pool.quantiles(ratio, LEVELS) == pytest.approx(pool.quantiles(float(like), LEVELS))


def test_beyond_the_last_ratio_bands_widen() -> None:
    assert widening(3.0) == widening(5.0) == 1.0
    assert widening(25.0) == pytest.approx(2.0)


def test_a_chance_is_the_counterpart_of_a_quantile() -> None:
    pool = pool_of(np.random.default_rng(0).standard_normal((400, len(RATIOS))))
    (score,) = pool.quantiles(2.0, np.array([0.7]))
    assert pool.chance_above(2.0, float(score)) == pytest.approx(0.3, abs=0.01)


def test_nothing_is_certain() -> None:
    pool = pool_of(NONE)
    assert 0 < pool.chance_above(2.0, 1e9) < pool.chance_above(2.0, -1e9) < 1


def test_a_back_test_counts_by_hand() -> None:
    """20 evaluations over 10 / 9: seen are 18, the last value is the 18th, the truth the 20th."""
    steps = np.arange(1.0, 21.0)
    curve = make_curve("a", steps, steps**2)
    tested = back_test([curve])
    assert tested.errors[0, 0, 1] == 20**2 - 18**2
    assert np.sign(tested.scores[0, 0]) == 1, "a power law saturates, this curve does not"


def test_what_is_too_short_is_not_tried() -> None:
    tested = back_test([make_curve("a", [1, 2, 3, 4, 5, 6], [1, 3, 4, 5, 5, 6])])
    assert np.isfinite(tested.scores[0]).tolist() == [True, False, False, False, False, False]


def test_without_leaves_out_the_run_itself() -> None:
    steps = np.arange(1.0, 21.0)
    curves = [make_curve(name, steps, np.sqrt(steps) * k) for k, name in enumerate("abc", 1)]
    tested = back_test(curves)
    assert np.array_equal(tested.without("b"), tested.scores[[0, 2]], equal_nan=True)


def test_no_runs_give_an_empty_back_test() -> None:
    tested = back_test([])
    assert tested.scores.shape == (0, len(RATIOS))
    assert np.isnan(tested.median_errors()).all()
