"""The noise of a metric against curves with noise that is known."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.noise import median_sd, noise_sd, within_noise

Floats = npt.NDArray[np.float64]
TRENDS: dict[str, Callable[[Floats], Floats]] = {
    "flat": lambda x: 0 * x,
    "linear": lambda x: 50 * x,
    "power": lambda x: -60 * (1 + 40 * x) ** -0.6,
    "exponential": lambda x: -60 * np.exp(-5 * x),
}


def estimates(trend: str, num: int, sd: float, draws: int = 200) -> Floats:
    x = np.linspace(0, 1, num)
    noise = np.random.default_rng(0).standard_normal((draws, num))
    return np.array([noise_sd(TRENDS[trend](x) + sd * row) for row in noise])


@pytest.mark.parametrize("trend", TRENDS)
@pytest.mark.parametrize("sd", [0.1, 1.0, 5.0])
def test_known_noise_is_found_whatever_the_trend(trend: str, sd: float) -> None:
    found = estimates(trend, 40, sd)
    assert np.mean(found) == pytest.approx(sd, rel=0.2), f"spread {np.std(found):.2f}"


@pytest.mark.parametrize(("num", "spread"), [(10, 0.6), (20, 0.4), (100, 0.2)])
def test_one_estimate_is_as_sure_as_the_docstring_says(num: int, spread: float) -> None:
    found = estimates("flat", num, 1.0)
    assert np.mean(found) == pytest.approx(1, abs=0.15)
    assert np.std(found) < spread


def test_jumps_and_dips_are_no_noise() -> None:
    values = np.random.default_rng(0).standard_normal(60)
    spoilt = values.copy()
    spoilt[20], spoilt[40:] = -30, spoilt[40:] + 25
    assert noise_sd(spoilt) == pytest.approx(noise_sd(values), rel=0.35)


def test_a_coarse_metric_has_noise_all_the_same() -> None:
    values = np.zeros(60)
    values[[10, 30, 50]] = 1.0
    assert noise_sd(values) > 0


def test_a_constant_metric_has_none() -> None:
    assert noise_sd(np.full(20, 0.37)) == 0


def test_nobody_can_tell_from_four_values() -> None:
    assert np.isnan(noise_sd([1, 2, 1, 2]))


def test_what_is_not_finite_is_left_out() -> None:
    values = np.random.default_rng(0).standard_normal(40)
    spoilt = np.concatenate([[np.nan], values[:20], [np.inf], values[20:]])
    assert noise_sd(spoilt) == noise_sd(values)


@given(
    values=st.lists(st.floats(-100, 100), min_size=5, max_size=50),
    factor=st.floats(-50, 50),
    shift=st.floats(-100, 100),
)
def test_it_scales_with_the_metric(values: list[float], factor: float, shift: float) -> None:
    rounded = np.round(values, 3)
    expected = abs(factor) * noise_sd(rounded)
    assert noise_sd(factor * rounded + shift) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("num", "tolerance"), [(1, 0.01), (2, 0.12), (3, 0.02), (4, 0.1), (9, 0.02)]
)
def test_the_noise_of_a_median(num: int, tolerance: float) -> None:
    drawn = np.median(np.random.default_rng(0).standard_normal((40_000, num)), axis=1)
    assert median_sd(num) == pytest.approx(float(drawn.std()), rel=tolerance)


def test_differences_of_noise_are_marked_at_the_stated_rate() -> None:
    gains = np.diff(np.random.default_rng(0).standard_normal((4000, 2)), axis=1)[:, 0]
    share = np.mean([within_noise(float(gain), 1.0) for gain in gains])
    assert share == pytest.approx(0.954, abs=0.01)


def test_unknown_noise_marks_nothing() -> None:
    assert not within_noise(0.0, float("nan"))
