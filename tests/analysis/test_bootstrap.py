"""The bootstrap: whole configurations are drawn, and the intervals cover what they claim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.bootstrap import Draws, interval, resampled_means

LEVEL = 0.95


def ends(values: np.ndarray, clusters: np.ndarray, *, draws: int = 500) -> list[float]:
    drawn = resampled_means(values[:, None], clusters, np.random.default_rng(0), draws)
    return interval(drawn, LEVEL)[0].tolist()


@pytest.mark.parametrize("num", [5, 30])
def test_the_interval_covers_the_mean_as_often_as_it_says(num: int) -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        low, high = ends(rng.normal(3, 1, num), np.arange(num), draws=300)
        covered += low <= 3 <= high
    assert 0.89 <= covered / 300 <= 0.995, covered / 300


def test_runs_of_a_configuration_are_no_independent_draws() -> None:
    rng = np.random.default_rng(2)
    level = np.repeat(rng.normal(0, 1, 8), 10)
    values = level + rng.normal(0, 0.01, 80)
    low, high = ends(values, np.repeat(np.arange(8), 10))
    alone_low, alone_high = ends(values, np.arange(80))
    assert high - low > 2 * (alone_high - alone_low)


@pytest.mark.parametrize("num_clusters", [1, 2])
def test_few_configurations_have_no_interval(num_clusters: int) -> None:
    found = ends(np.arange(6.0), np.arange(6) % num_clusters)
    assert np.isnan(found).all()


def test_missing_values_are_left_out_of_each_column() -> None:
    values = np.array([[1.0, np.nan], [1.0, 5.0], [1.0, 5.0], [1.0, 5.0]])
    drawn = resampled_means(values, np.arange(4), np.random.default_rng(0), 200)
    np.testing.assert_allclose(interval(drawn, LEVEL), [[1, 1], [5, 5]])


def test_a_column_of_few_configurations_has_no_interval() -> None:
    values = np.array([[1.0, 2.0], [np.nan, 3.0], [np.nan, 4.0]])
    drawn = resampled_means(values, np.arange(3), np.random.default_rng(0), 200)
    assert np.isnan(interval(drawn, LEVEL)).tolist() == [[True, True], [False, False]]


def test_the_interval_of_a_column_is_expanded_for_the_configurations_that_it_has() -> None:
    values = np.array([[x, x] for x in range(6)] + [[np.nan, 1.0]] * 40)
    drawn = resampled_means(values, np.arange(46), np.random.default_rng(0), 5000)
    of_six = interval(Draws(drawn.means[:, :1], 6), LEVEL)
    np.testing.assert_array_equal(interval(drawn, LEVEL)[:1], of_six)


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=12),
    shift=st.floats(-1e3, 1e3),
)
def test_the_interval_lies_within_the_values_and_moves_with_them(
    values: list[float], shift: float
) -> None:
    found, clusters = np.array(values), np.arange(len(values))
    low, high = ends(found, clusters, draws=50)
    assert found.min() - 1e-6 <= low <= high <= found.max() + 1e-6
    moved = ends(found + shift, clusters, draws=50)
    np.testing.assert_allclose(moved, [low + shift, high + shift], atol=1e-6)
