"""Each rule on curves made to meet it, to miss it narrowly, and to be its usual false alarm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.verdicts import (
    explosion,
    fast_saturator,
    overfitting,
    plateau,
    slow_learner,
    still_improving,
    temporary_dip,
)

STEPS = np.arange(10_000.0, 450_001.0, 10_000)
EPOCHS = np.arange(1.0, 31.0)


def peaked(peak: float, slope: float = 1e-5) -> np.ndarray:
    """Rises to `peak` and falls after it."""
    return 50 - slope * np.abs(STEPS - peak)


def held(peak: float) -> np.ndarray:
    """Rises to `peak` and stays there."""
    return 50 - 1e-5 * np.maximum(0, peak - STEPS)


@pytest.mark.parametrize(("peak", "holds"), [(190_000, True), (200_000, False), (430_000, False)])
def test_a_fast_saturator_peaks_before_200k(peak: float, holds: bool) -> None:
    assert fast_saturator(STEPS, peaked(peak)).holds == holds


@pytest.mark.parametrize(("peak", "holds"), [(160_000, True), (170_000, False)])
def test_a_fast_saturator_gains_nothing_after_160k(peak: float, holds: bool) -> None:
    found = fast_saturator(STEPS, held(peak), peak_before_step=0)
    assert found.holds == holds
    assert f"gain after 160000: {0 if holds else 0.1:+.4g}" in found.evidence


def test_a_gain_may_be_too_small_to_count() -> None:
    curve = held(170_000)
    assert fast_saturator(STEPS, curve, peak_before_step=0, min_gain=0.2).holds


def test_a_pruned_run_never_saturates() -> None:
    found = fast_saturator(STEPS, peaked(100_000), censored=True)
    assert not found.holds
    assert found.evidence == "stopped early"


def test_a_run_that_ended_before_the_thresholds_does_not_saturate() -> None:
    early = STEPS <= 150_000
    assert not fast_saturator(STEPS[early], peaked(100_000)[early]).holds


@pytest.mark.parametrize(("peak", "holds"), [(410_000, True), (400_000, False), (200_000, False)])
def test_a_slow_learner_peaks_after_400k(peak: float, holds: bool) -> None:
    single = np.where(peak == STEPS, 1.0, 0.0)
    assert slow_learner(STEPS, held(100_000) + single).holds == holds


def test_a_slow_learner_may_still_be_improving_when_it_ends() -> None:
    early = STEPS <= 320_000
    found = slow_learner(STEPS[early], held(600_000)[early])
    assert found.holds
    assert "gain since 230000: +0.8" in found.evidence


def test_a_flat_end_is_no_slow_learner() -> None:
    early = STEPS <= 320_000
    assert not slow_learner(STEPS[early], held(200_000)[early]).holds


def test_a_gain_is_compared_with_noise() -> None:
    """The curve gains 1.1 in its last quarter."""
    noise = np.random.default_rng(0).standard_normal((200, len(STEPS)))
    rates = [
        np.mean([still_improving(STEPS, held(600_000) + sd * row).holds for row in noise])
        for sd in (0.01, 0.1, 3.0)
    ]
    assert rates[:2] == [1, 1]
    assert rates[2] < 0.25


def test_still_improving_needs_the_least_gain_asked_for() -> None:
    curve = held(600_000)
    assert not still_improving(STEPS, curve, min_gain=5.0).holds


def test_flat_noise_is_rarely_an_improvement() -> None:
    rng = np.random.default_rng(0)
    rate = np.mean([still_improving(EPOCHS, rng.standard_normal(30)).holds for _ in range(400)])
    assert rate < 0.1, f"{rate:.0%} of curves without a trend"


def test_a_plateau_brings_no_new_best_in_five_evaluations() -> None:
    values = np.array([50, 55, 58, 60, 60, 59, 60, 60, 59])
    found = plateau(np.arange(1, 10), values)
    assert found.holds
    assert found.evidence == "gain since 4, in 5 evaluations: +0"


@pytest.mark.parametrize(("min_gain", "holds"), [(0.0, False), (0.005, False), (0.011, True)])
def test_the_plateau_of_the_camouflage_study(min_gain: float, holds: bool) -> None:
    """IoU 0.62 at epoch 86, a hundredth more than 17 epochs before."""
    epochs = np.arange(60.0, 87.0)
    iou = np.where(epochs < 70, 0.61, 0.61 + (epochs - 69) * 0.01 / 17)
    found = plateau(epochs, iou, patience_evaluations=17, min_gain=min_gain)
    assert found.holds == holds


def test_overfitting_is_a_gap_that_opens_while_validation_does_not_improve() -> None:
    train, validation = 2 / EPOCHS, 2 / EPOCHS + 0.02 * np.maximum(0, EPOCHS - 8)
    found = overfitting(EPOCHS, train, validation)
    assert found.holds
    assert "gap: gain since 14: +0.3" in found.evidence


def test_a_gap_that_opens_while_validation_improves_is_none() -> None:
    assert not overfitting(EPOCHS, 2 - 0.06 * EPOCHS, 2 - 0.03 * EPOCHS).holds


def test_a_gap_that_stays_is_none() -> None:
    assert not overfitting(EPOCHS, 1 / EPOCHS, 1 / EPOCHS + 0.5).holds


def test_overfitting_of_an_accuracy_is_the_mirror_image() -> None:
    train, validation = 1 - 1 / EPOCHS, 0.8 - 0.01 * np.maximum(0, EPOCHS - 8)
    assert overfitting(EPOCHS, train, validation, mode="max").holds
    assert not overfitting(EPOCHS, -train, -validation, mode="max").holds


def test_the_explosion_of_the_camouflage_study() -> None:
    found = explosion([86, 87], [0.2341, 1.5678], [0.6350, 0.1234])
    assert found.holds
    assert found.evidence == "loss 0.2341 at 86, 1.568 at 87; metric 0.635, 0.1234"


@pytest.mark.parametrize(
    ("loss", "metric"), [([0.2341, 1.40], [0.635, 0.1234]), ([0.2341, 1.5678], [0.635, 0.60])]
)
def test_an_explosion_needs_both(loss: list[float], metric: list[float]) -> None:
    assert not explosion([86, 87], loss, metric).holds


def test_the_loss_alone_explodes_where_there_is_no_metric() -> None:
    assert explosion([1, 2, 3], [0.3, 0.2, 1.25]).holds


def test_a_metric_of_which_less_is_better_explodes_upward() -> None:
    assert explosion([1, 2], [0.1, 1.0], [0.2, 0.9], mode="min").holds
    assert not explosion([1, 2], [0.1, 1.0], [0.9, 0.2], mode="min").holds


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_loss_that_is_no_longer_finite_has_exploded(lost: float) -> None:
    found = explosion([1, 2, 3], [0.3, 0.2, lost])
    assert found.holds
    assert "at 3" in found.evidence


def test_a_slow_growth_of_the_loss_is_no_explosion() -> None:
    assert not explosion(EPOCHS, 1.2**EPOCHS).holds


@pytest.mark.parametrize(("length", "holds"), [(1, True), (2, True), (3, True), (4, False)])
def test_a_dip_of_three_evaluations_is_temporary(length: int, holds: bool) -> None:
    values = 60 - 20 / EPOCHS
    values[20 : 20 + length] -= 8
    assert temporary_dip(EPOCHS, values).holds == holds


def test_a_dip_is_told_with_its_depth_and_place() -> None:
    values = 60 + 0.001 * (-1.0) ** EPOCHS
    values[20:22] = 55, 52.001
    assert temporary_dip(EPOCHS, values).evidence == "8 below the best from 21, back at 23"


def test_a_fall_at_the_very_end_may_yet_be_a_collapse() -> None:
    values = np.full(30, 60.0)
    values[-1] = 40
    assert not temporary_dip(EPOCHS, values).holds


def test_noise_is_no_dip() -> None:
    rng = np.random.default_rng(0)
    rate = np.mean([temporary_dip(EPOCHS, rng.standard_normal(30)).holds for _ in range(400)])
    assert rate < 0.25, f"{rate:.0%} of curves without a dip"


RULES = [fast_saturator, slow_learner, still_improving, plateau, temporary_dip, explosion]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("values", [[], [1.0], [np.nan] * 6, [1.0, np.nan, np.inf, 2.0]])
def test_too_little_is_no_verdict_and_no_error(rule, values: list[float]) -> None:  # type: ignore[no-untyped-def]
    found = rule(np.arange(1.0, len(values) + 1), values)
    assert found.holds in (True, False)
    assert found.evidence


@pytest.mark.parametrize("rule", [fast_saturator, slow_learner, still_improving, plateau])
@given(seed=st.integers(0, 50))
def test_a_loss_is_judged_as_its_mirror_image(rule, seed: int) -> None:  # type: ignore[no-untyped-def]
    values = np.cumsum(np.random.default_rng(seed).standard_normal(len(STEPS)))
    assert rule(STEPS, values).holds == rule(STEPS, -values, mode="min").holds


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="max or min, got 'up'"):
        plateau(STEPS, held(100_000), mode="up")
