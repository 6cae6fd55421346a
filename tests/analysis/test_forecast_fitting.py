"""The extrapolation against formulas, numpy and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from analysis.fitting import EXPONENTS, extrapolate

STEPS = np.arange(1.0, 41.0)
AHEAD = np.array([80.0])


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0, 2.0])
def test_a_power_law_is_carried_on(exponent: float) -> None:
    values = 80 - 60 * STEPS**-exponent
    found = extrapolate(STEPS, values, AHEAD)
    truth = 80 - 60 * AHEAD[0] ** -exponent
    gain = truth - values[-1]
    assert found.level + found.gains[0] == pytest.approx(truth, abs=0.1 * gain)


def test_a_log_linear_trend_is_carried_on() -> None:
    found = extrapolate(STEPS, 3 * np.log(STEPS), AHEAD)
    assert found.gains[0] == pytest.approx(3 * np.log(2), rel=0.02)


def test_it_agrees_with_a_nonlinear_fit_of_the_same_family() -> None:
    rng = np.random.default_rng(3)
    values = 70 - 40 * STEPS**-0.7 + 0.05 * rng.standard_normal(len(STEPS))
    (_, b, c), _ = curve_fit(lambda x, a, b, c: a - b * x**-c, STEPS, values, p0=(70, 40, 0.5))
    found = extrapolate(STEPS, values, AHEAD)
    assert found.gains[0] == pytest.approx(b * (40**-c - 80**-c), rel=0.15)


def test_the_level_is_free_of_an_offset_at_the_end() -> None:
    """Anchored: what the fits miss in the last evaluations is added."""
    values = np.where(STEPS > 37, 75.0, 70.0)
    assert extrapolate(STEPS, values, AHEAD).level == pytest.approx(75, abs=0.5)


def test_a_falling_curve_has_no_gain() -> None:
    assert extrapolate(STEPS, -np.log(STEPS), AHEAD).gains[0] == 0


def test_noise_alone_has_next_to_no_gain() -> None:
    gains = [
        extrapolate(STEPS, np.random.default_rng(seed).standard_normal(40), AHEAD).gains[0]
        for seed in range(50)
    ]
    assert np.median(gains) < 0.1, f"gains out of noise of sd 1: {np.sort(gains)[::10]}"


def test_more_noise_is_more_doubt() -> None:
    noise = np.random.default_rng(0).standard_normal(40)
    scales = [extrapolate(STEPS, STEPS**0.2 + sd * noise, AHEAD).scales[0] for sd in (0.1, 1, 10)]
    assert scales[0] < scales[1] < scales[2]


def test_further_ahead_is_more_gain_and_more_doubt() -> None:
    values = 80 - 60 * STEPS**-0.5 + 0.1 * np.random.default_rng(0).standard_normal(40)
    found = extrapolate(STEPS, values, np.array([44.0, 60.0, 120.0, 400.0]))
    assert np.all(np.diff(found.gains) > 0)
    assert np.all(np.diff(found.scales) > 0)


def test_a_long_curve_is_thinned_to_the_same_answer() -> None:
    steps = np.arange(1.0, 20_001.0)
    found = extrapolate(steps, 80 - 60 * steps**-0.3, 2 * steps[-1:])
    assert found.gains[0] == pytest.approx(60 * (20_000**-0.3 - 40_000**-0.3), rel=0.05)


@given(
    values=st.lists(st.floats(-100, 100), min_size=5, max_size=40),
    factor=st.floats(0.01, 100),
    shift=st.floats(-1000, 1000),
)
def test_the_unit_of_the_metric_does_not_matter(
    values: list[float], factor: float, shift: float
) -> None:
    steps, goodness = np.arange(1.0, len(values) + 1), np.round(values, 3)
    ahead = 2 * steps[-1:]
    one, other = (
        extrapolate(steps, goodness, ahead),
        extrapolate(steps, factor * goodness + shift, ahead),
    )
    tolerance = 1e-6 * factor * (1 + np.ptp(goodness)) + 1e-7
    assert other.level == pytest.approx(factor * one.level + shift, abs=tolerance)
    assert other.gains[0] == pytest.approx(factor * one.gains[0], abs=tolerance)
    assert other.scales[0] == pytest.approx(factor * one.scales[0], abs=tolerance)


@given(factor=st.floats(1e-3, 1e6))
def test_the_unit_of_time_does_not_matter(factor: float) -> None:
    values = 80 - 60 * STEPS**-0.5 + np.sin(STEPS)
    one, other = (extrapolate(k * STEPS, values, k * AHEAD) for k in (1.0, factor))
    assert other.gains[0] == pytest.approx(one.gains[0], rel=1e-6)


def test_the_log_linear_trend_is_one_of_the_family() -> None:
    assert EXPONENTS[0] == 0
