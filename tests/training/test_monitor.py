"""The monitor's rules on the examples of the source, and on random curves that are well."""

import math
from collections import Counter

import numpy as np
import pytest

from training.monitor import (
    ACTED_ON,
    Verdict,
    explodes,
    first_check,
    gain,
    in_dip,
    is_slow,
    is_stuck,
    level,
    noise,
    second_check,
    verdicts,
)

PLATEAU = [0.61, 0.612, 0.615, 0.618, 0.618, 0.619, 0.62]  # +0.01 up to epoch 86
NUM_CURVES = 1000


def kinds(found: tuple[Verdict, ...]) -> list[str]:
    return [verdict.kind for verdict in found]


def line(num: int, per_epoch: float, start: float = 0.62) -> list[float]:
    return [start + per_epoch * (epoch + 1) for epoch in range(num)]


def test_an_explosion_is_a_loss_that_leaps_and_a_metric_that_collapses() -> None:
    assert explodes([0.2341, 1.5678], [0.6350, 0.1234])
    assert not explodes([0.2341, 1.5678], [0.6350, 0.6300]), "a loss on another scale"
    assert not explodes([0.2341, 0.2400], [0.6350, 0.1234]), "a metric that was measured badly"
    assert not explodes([0.2341, 1.2], [0.6350, 0.1234]), "5 times"
    assert explodes([0.2341, math.nan], [0.6350, math.nan])
    assert not explodes([0.2341], [0.6350]) and not explodes([], [])


def test_nothing_is_said_after_an_explosion() -> None:
    found = verdicts([0.24, 0.2341, 1.5678, 1.6], [0.63, 0.635, 0.1234, 0.12], PLATEAU)
    assert kinds(found) == ["explosion"]
    assert found[0].epoch == 3
    assert found[0].advice.startswith("stop; back to the last good segment, LR / 1.5, warm-up of 5")


def test_an_explosion_is_told_as_it_was() -> None:
    fell = verdicts([0.2341, 1.5678], [0.635, 0.1234], PLATEAU)
    assert fell[0].because == "the metric fell from 0.6350 to 0.1234 as the loss leapt"
    lost = verdicts([0.2341, math.nan], [0.635, 0.74], PLATEAU)
    assert lost[0].because == "the loss is no number; the metric went from 0.6350 to 0.7400"


def test_stuck_is_no_gain_over_the_resume_point_after_20_epochs() -> None:
    flat = [0.62, 0.621, 0.619, 0.62] * 5
    assert is_stuck(flat, PLATEAU)
    assert not is_stuck(flat[:19], PLATEAU), "19 epochs"
    assert not is_stuck(line(20, 0.003), PLATEAU), "0.06 in 20 epochs"
    assert kinds(verdicts([0.3] * 20, flat, PLATEAU)) == ["flat", "stuck"]


def test_the_source_s_plateau_is_stuck() -> None:
    """+0.01 in the last 17 epochs, up to 0.62 at epoch 86."""
    rise = [0.61 + 0.01 * epoch / 17 for epoch in range(1, 18)]
    assert is_stuck(rise, [0.61] * 5, epochs=17)


def test_slow_but_moving_is_not_stuck() -> None:
    slow = line(20, 0.0015)
    assert is_slow(slow, PLATEAU) and not is_stuck(slow, PLATEAU)
    assert not is_slow(line(20, 0.004), PLATEAU), "0.08 in 20 epochs is not slow"
    assert not is_slow([0.62] * 20, PLATEAU)


@pytest.mark.parametrize("length", [2, 3])
def test_a_dip_of_two_or_three_epochs_calls_for_nothing(length: int) -> None:
    rise = line(15, 0.004)
    dipped = rise[:7] + [0.58] * length + rise[7 + length :]
    assert in_dip(dipped[: 7 + length], PLATEAU)
    found = verdicts([0.3] * 15, dipped, PLATEAU)
    assert "dip" in kinds(found)
    assert not set(kinds(found)) & ACTED_ON


def test_what_stays_below_is_no_dip() -> None:
    assert not in_dip([*line(7, 0.004), *[0.58] * 4], PLATEAU)


@pytest.mark.parametrize(
    ("per_epoch", "answer"), [(0.003, "enough"), (0.0, "flat"), (-0.01, "flat"), (0.001, "moving")]
)
def test_the_check_after_10_epochs(per_epoch: float, answer: str) -> None:
    assert first_check(line(10, per_epoch), [0.62]) == answer


@pytest.mark.parametrize(
    ("reached", "answer"),
    [(0.71, "on target"), (0.70, "on target"), (0.68, "more epochs"), (0.65, "short")],
)
def test_the_check_after_30_epochs(reached: float, answer: str) -> None:
    assert second_check([reached] * 30) == answer
    assert answer in kinds(verdicts([0.3] * 30, [reached] * 30, PLATEAU))


def test_the_level_is_moved_by_neither_luck_nor_a_dip() -> None:
    assert level([0.6, 0.6, 0.6, 0.6, 0.9]) == 0.6
    assert level([0.6, 0.6, 0.1, 0.1, 0.1]) == 0.6
    assert level([0.5]) == 0.5 and math.isnan(level([]))
    assert level([math.nan, 0.4, 0.5]) == 0.4


def test_noise_is_what_is_left_of_the_changes_beside_the_trend() -> None:
    random = np.random.default_rng(0)
    values = 0.5 + 0.01 * np.arange(400) + random.normal(0, 0.02, 400)
    assert noise(list(values)) == pytest.approx(0.02, rel=0.15)
    assert noise([0.1, 0.2, 0.3, 0.4]) == pytest.approx(0, abs=1e-12)
    assert noise([0.1, 0.2]) == 0


def test_the_error_of_a_gain_is_that_of_repeated_runs() -> None:
    random = np.random.default_rng(1)
    pairs = [gain(list(random.normal(0, 1, 20)), list(random.normal(0, 1, 8))) for _ in range(2000)]
    gains, errors = np.array(pairs).T
    assert errors.mean() == pytest.approx(gains.std(), rel=0.2)
    assert abs(gains.mean()) < 0.05


def well(random: np.random.Generator) -> tuple[list[float], list[float], list[float]]:
    """A run off its plateau: at least 0.03 in 20 epochs and 0.67 after 30, noisy, with dips."""
    num, start = 35, random.uniform(0.60, 0.66)
    total = random.uniform(max(0.06, 0.69 - start), 0.12)
    pace = random.uniform(8, 15)
    epochs = np.arange(1, num + 1)
    rise = total * (1 - np.exp(-epochs / pace)) / (1 - np.exp(-30 / pace))
    spread = random.uniform(0.001, 0.006)
    metric = start + rise + random.normal(0, spread, num)
    loss = (0.25 - rise) * np.exp(random.normal(0, 0.1, num))
    for _ in range(random.integers(0, 3)):
        first, length = random.integers(0, num - 3), random.integers(2, 4)
        metric[first : first + length] -= random.uniform(0.02, 0.08)
        loss[first : first + length] *= random.uniform(1.2, 2.5)
    before = start + random.normal(0, spread, random.integers(1, 20))
    return list(loss), list(metric), list(before)


def test_false_alarms_on_random_noisy_curves_are_rare() -> None:
    random = np.random.default_rng(0)
    alarms = Counter[str]()
    curves = 0
    for _ in range(NUM_CURVES):
        raised = set(kinds(verdicts(*well(random)))) & ACTED_ON
        alarms.update(raised)
        curves += bool(raised)
    print(f"{curves} of {NUM_CURVES} curves with a false alarm: {dict(alarms)}")
    assert curves < 0.01 * NUM_CURVES, alarms


def test_what_is_stuck_is_mostly_told() -> None:
    """The other side of few false alarms: flat curves with noise up to 0.006."""
    random = np.random.default_rng(2)
    told = 0
    for _ in range(200):
        spread, start = random.uniform(0.001, 0.006), 0.62
        before = list(start + random.normal(0, spread, 10))
        since = list(start + random.normal(0, spread, 30))
        told += "stuck" in kinds(verdicts([0.3] * 30, since, before))
    assert told > 0.8 * 200, told
