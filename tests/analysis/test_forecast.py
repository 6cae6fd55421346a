"""Forecasts: what is said of a run, what is not, and that no run tells its own future."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.conformal import RATIOS, pool_of
from analysis.curves import Curve, Floats, make_curve
from analysis.forecast import Forecast, forecast
from analysis.forecasts import Forecasts, forecast_logs, forecast_seen, forecast_to
from analysis.limits import limits_of

STEPS = np.arange(1.0, 41.0)
INFINITE = float("inf")
SHIPPED = pool_of(np.empty((0, len(RATIOS))))
FIELDS = "run seen_step target_step predicted lo80 hi80 lo90 hi90 last_value log_linear flags"


def saturating(seed: int, *, noise: float = 0.3, num: int = 40) -> Curve:
    """Return a run that saturates by a power of its own."""
    rng = np.random.default_rng(seed)
    x = np.arange(1.0, num + 1)
    values = rng.uniform(60, 90) - rng.uniform(20, 60) * x ** -rng.uniform(0.4, 1.0)
    return make_curve(f"run{seed:03}", x, values + noise * rng.standard_normal(num))


def told(values: Floats, target: float = 80.0, **facts: object) -> Forecast:
    curve = make_curve("run", np.arange(1.0, len(values) + 1), values)
    return forecast(replace(curve, **facts), target, SHIPPED)  # type: ignore[arg-type]


def numbers(found: Forecast) -> Floats:
    names = ("predicted", "lo80", "hi80", "lo90", "hi90", "last_value", "log_linear")
    return np.array([getattr(found, name) for name in names], dtype=np.float64)


def test_the_json_has_exactly_the_fields_promised() -> None:
    plain = json.loads(json.dumps(told(saturating(0).values).plain(), allow_nan=False))
    assert " ".join(plain) == FIELDS


@given(seed=st.integers(0, 200), noise=st.sampled_from([0.0, 0.1, 3.0]), ahead=st.floats(1.01, 20))
def test_bands_lie_around_each_other(seed: int, noise: float, ahead: float) -> None:
    curve = saturating(seed, noise=noise)
    found = forecast(curve, ahead * 40, SHIPPED)
    lo90, lo80, middle, hi80, hi90 = (
        getattr(found, name) for name in ("lo90", "lo80", "predicted", "hi80", "hi90")
    )
    assert lo90 <= lo80 <= middle <= hi80 <= hi90
    assert lo80 < hi80


@given(
    seed=st.integers(0, 50),
    factor=st.floats(0.01, 100),
    shift=st.floats(-100, 100),
    maximize=st.booleans(),
)
def test_fractions_and_per_cent_give_the_same_forecast(
    seed: int, factor: float, shift: float, maximize: bool
) -> None:
    curve = replace(saturating(seed), maximize=maximize)
    one = forecast(curve, 80, SHIPPED)
    other = forecast(replace(curve, values=factor * curve.values + shift), 80, SHIPPED)
    assert numbers(other) == pytest.approx(
        factor * numbers(one) + shift, rel=1e-6, abs=1e-6 * factor
    )
    assert other.flags == one.flags
    assert other.chance == pytest.approx(one.chance, abs=1e-6)


@given(seed=st.integers(0, 50))
def test_a_loss_is_forecast_as_its_mirror_image(seed: int) -> None:
    curve = saturating(seed)
    one = forecast(curve, 80, SHIPPED)
    other = forecast(replace(curve, values=-curve.values, maximize=False), 80, SHIPPED)
    mirrored = -numbers(one)[[0, 2, 1, 4, 3, 5, 6]]
    assert numbers(other) == pytest.approx(mirrored)
    assert other.expected_gain == pytest.approx(one.expected_gain)


def test_a_run_cannot_tell_its_own_future() -> None:
    """Whatever comes after the cut, prediction and band of a back-test are the same."""
    curves = [saturating(seed) for seed in range(8)]
    spoilt = replace(curves[3], values=np.where(STEPS > 20, -1000.0, curves[3].values))
    one = forecast_seen(curves, 0.5).runs[3]
    other = forecast_seen([*curves[:3], spoilt, *curves[4:]], 0.5).runs[3]
    assert other == one


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_the_bands_cover_what_they_claim(share: float) -> None:
    curves = [saturating(seed) for seed in range(150)]
    found = forecast_seen(curves, share).runs
    last = [curve.values[-1] for curve in curves]
    inside = [f.lo80 <= value <= f.hi80 for f, value in zip(found, last, strict=True)]  # type: ignore[operator]
    assert 0.7 <= np.mean(inside) <= 0.9


def test_the_forecast_beats_both_naive_answers() -> None:
    curves = [saturating(seed) for seed in range(150)]
    found = forecast_seen(curves, 0.4).runs
    values = np.array([numbers(f) for f in found])[:, [0, 5, 6]]
    misses = np.abs(values - np.array([[curve.values[-1]] for curve in curves]))
    ours, last, trend = np.median(misses, axis=0)
    assert ours < 0.8 * min(last, trend), f"{ours:.2f} against {last:.2f} and {trend:.2f}"


def test_scores_of_other_runs_widen_the_bands() -> None:
    """Runs that all jump at their end: the band of a run learns it from the others."""
    calm = [saturating(seed) for seed in range(60)]
    jumps = np.where(STEPS > 30, 15.0, 0.0)
    jumping = [replace(c, values=c.values + (-1) ** i * jumps) for i, c in enumerate(calm)]
    one, other = (forecast_seen(curves, 0.5).runs[0] for curves in (calm, jumping))
    assert other.hi80 - other.lo80 > 3 * (one.hi80 - one.lo80)  # type: ignore[operator]


@pytest.mark.parametrize("num", [0, 1, 2, 4])
def test_nothing_is_predicted_from_fewer_than_five_evaluations(num: int) -> None:
    found = told(np.arange(1.0, num + 1))
    assert "too_few_points" in found.flags
    assert (found.predicted, found.lo80, found.hi90, found.chance) == (None,) * 4
    assert found.last_value == (num or None)
    assert not found.can_tell


def test_nothing_is_predicted_of_a_constant_metric() -> None:
    found = told(np.full(20, 0.25), 40.0)
    assert found.flags == ("constant",)
    assert found.predicted is None
    assert found.last_value == 0.25


def test_a_horizon_over_three_is_flagged_and_wide() -> None:
    near, far, further = (told(saturating(0).values, 40 * ratio) for ratio in (2.0, 4.0, 20.0))
    assert "horizon" not in near.flags
    assert "horizon" in far.flags
    widths = [f.hi80 - f.lo80 for f in (near, far, further)]  # type: ignore[operator]
    assert widths[0] < widths[1] < widths[2]


def test_a_run_that_overfits_is_given_no_gain() -> None:
    values = 80 - 0.05 * (STEPS - 15) ** 2 + 0.1 * np.random.default_rng(0).standard_normal(40)
    found = told(values)
    assert "overfits" in found.flags
    assert found.expected_gain == 0
    assert found.predicted == pytest.approx(values[-1], abs=2)


def test_noise_is_no_overfitting() -> None:
    rng = np.random.default_rng(0)
    flagged = [told(80 + rng.standard_normal(40)).flags.count("overfits") for _ in range(100)]
    assert sum(flagged) <= 20


def test_a_run_that_collapsed_is_forecast_from_its_restart() -> None:
    once = 80 - 60 * STEPS[:20] ** -0.5
    found = told(np.concatenate([once, once]), 80.0)
    alone = forecast(make_curve("run", STEPS[20:], once), 80.0, SHIPPED)
    assert found.flags == ("restart",)
    assert found.predicted == pytest.approx(alone.predicted)
    assert found.hi80 - found.lo80 > 1.9 * (alone.hi80 - alone.lo80)  # type: ignore[operator]


def test_a_dip_is_no_restart() -> None:
    values = 80 - 60 * STEPS**-0.5
    values[25] = 25.0
    assert "restart" not in told(values).flags


def test_a_learning_rate_that_rises_again_is_a_restart() -> None:
    lr = np.concatenate([np.linspace(1, 0.01, 20), np.linspace(1, 0.5, 20)])
    assert "restart" in told(saturating(0).values, lr=lr).flags


def test_a_warm_up_is_no_restart() -> None:
    lr = np.concatenate([np.linspace(0.01, 1, 10), np.linspace(1, 0.9, 30)])
    assert told(saturating(0).values, lr=lr).flags == ()


def test_a_decay_that_has_ended_is_not_carried_on() -> None:
    """The gain that came with the decay does not go on at the low rate."""
    values = np.concatenate([70 - 20 * STEPS[:30] ** -0.5, 70 + 0.8 * np.arange(1, 11)])
    lr = np.concatenate([np.full(30, 1.0), np.linspace(0.9, 0.02, 10)])
    blind, aware = told(values), told(values, lr=lr)
    assert "lr_decayed" in aware.flags
    assert aware.expected_gain < 0.2 * blind.expected_gain  # type: ignore[operator]


def test_at_a_constant_learning_rate_nothing_changes() -> None:
    values = saturating(0).values
    assert told(values, lr=np.full(40, 0.1)) == told(values)


def test_a_pruned_run_is_flagged() -> None:
    assert told(saturating(0).values, status="stopped").flags == ("censored",)


def test_a_pruned_run_is_no_back_test() -> None:
    curves = [saturating(0), replace(saturating(1), status="stopped")]
    assert forecast_to(curves, 80).back_test.runs == ("run000",)


def test_noise_without_a_trend_cannot_be_told() -> None:
    found = told(np.random.default_rng(1).choice([0.0, 1.0], 12), 60.0)
    assert "wide" in found.flags
    assert not found.can_tell


def test_the_chance_of_a_gain_falls_with_the_gain_asked_for() -> None:
    curve = saturating(0)
    chances = [
        forecast(curve, 80, SHIPPED, min_gain=gain).chance for gain in (-50.0, 0.0, 1.0, 3.0, 50.0)
    ]
    assert chances == sorted(chances, reverse=True)  # type: ignore[type-var]
    assert 0 < chances[-1] < 0.05  # type: ignore[operator]
    assert 0.95 < chances[0] < 1  # type: ignore[operator]


def test_the_step_of_95_per_cent_of_the_gain() -> None:
    """a - b / x has 95% of the gain up to 80 at 1 / x = 1 - 0.95 (1 - 1 / 80)."""
    found = told(100 - 50 / STEPS)
    assert found.step_of_95 == pytest.approx(1 / (1 - 0.95 * (1 - 1 / 80)), abs=1.5)


def test_the_step_of_95_per_cent_may_lie_ahead() -> None:
    """Of a log-linear trend it is 80 ** 0.95."""
    assert told(np.log(STEPS)).step_of_95 == pytest.approx(80**0.95, rel=0.05)


def test_the_gain_for_each_device_hour() -> None:
    curve = replace(saturating(0), step_s=90.0)
    found = forecast(curve, 80, SHIPPED, num_devices=4)
    assert found.expected_gain is not None
    assert found.gain_per_hour == pytest.approx(found.expected_gain / (4 * 40 * 90 / 3600))


def test_a_run_at_the_target_is_not_forecast() -> None:
    found = forecast_to([saturating(0)], 30).runs[0]
    assert found.flags == ("reached",)
    assert found.predicted is None


def test_it_is_said_where_a_naive_answer_is_as_good() -> None:
    """Runs that stop all at once: no family of curves can know."""
    ended = [80 - (50 + run) * np.minimum(STEPS, 15) ** -0.5 for run in range(8)]
    curves = [make_curve(f"run{run}", STEPS, values) for run, values in enumerate(ended)]
    assert any("does not beat last value" in note for note in forecast_seen(curves, 0.5).notes)


def test_no_run_at_all_is_said() -> None:
    assert forecast_to([], 80).notes == (
        "No run can be forecast: too few evaluations, or a constant metric.",
    )


def logs() -> tuple[pd.DataFrame, pd.DataFrame]:
    parts = [
        pd.DataFrame({"run": c.run, "step": c.steps, "value": c.values})
        for c in (saturating(1), saturating(0))
    ]
    points = pd.concat(parts).assign(metric="acc", wall_s=np.nan)
    return points, pd.DataFrame(index=["run000", "run001"])


def from_logs(**options: float) -> Forecasts:
    return forecast_logs(*logs(), "acc", maximize=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "ratio"), [("csv", 4), ("thaw", 1)])
def test_device_seconds_are_not_multiplied_by_devices(kind: str, ratio: int) -> None:
    """Results of thaw sum the seconds of all devices."""
    points, runs = logs()
    timed = points.assign(wall_s=90 * points["step"])

    def per_hour(num_devices: int) -> tuple[float, tuple[str, ...]]:
        known = runs.assign(kind=kind)
        found = forecast_logs(timed, known, "acc", maximize=True, to=80, num_devices=num_devices)
        assert found.runs[0].gain_per_hour is not None
        return found.runs[0].gain_per_hour, found.notes

    (one, notes), (four, with_four) = per_hour(1), per_hour(4)
    assert one == pytest.approx(ratio * four)
    said = (
        "2 runs are results of thaw, whose seconds are device-seconds: --devices is not for them."
    )
    assert (said in with_four, said in notes) == (kind == "thaw", False), with_four


def test_forecasts_of_logs_are_in_the_order_of_the_names() -> None:
    found = from_logs(to=80).runs
    assert [f.run for f in found] == ["run000", "run001"]
    assert [f.target_step for f in found] == [80, 80]


def test_a_back_test_of_logs_sees_a_share() -> None:
    found = from_logs(seen=0.5).runs[0]
    assert (found.seen_step, found.target_step) == (20, 40)


@pytest.mark.parametrize("options", [{}, {"to": 80.0, "seen": 0.5}, {"seen": 0.0}, {"seen": 1.0}])
def test_a_question_that_is_none_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"step to look ahead|between 0 and 1"):
        from_logs(**options)


def test_what_a_metric_cannot_be_is_not_forecast() -> None:
    """An error that falls in a straight line over log step, to below 0."""
    falling = make_curve("run", STEPS, 0.4 - 0.1 * np.log(STEPS), maximize=False)
    bounded = replace(falling, lower=0.0)
    one, other = (forecast(curve, 110, SHIPPED) for curve in (falling, bounded))
    assert one.predicted is not None and one.predicted < 0
    assert (other.predicted, other.lo80, other.lo90) == (0, 0, 0)
    assert other.expected_gain == pytest.approx(other.level)
    assert other.hi80 is not None and other.hi80 > 0


def test_limits_that_are_far_change_nothing() -> None:
    curve = saturating(0)
    assert forecast(replace(curve, lower=0, upper=1000), 80, SHIPPED) == forecast(
        curve, 80, SHIPPED
    )


@pytest.mark.parametrize(
    ("metric", "values", "limits"),
    [
        ("val/accuracy", [0.5, 0.9], (0, 1)),
        ("val/accuracy", [50.0, 90.0], (0, 100)),
        ("mIoU", [0.3], (0, 1)),
        ("wer", [1.2, 0.9], (0, INFINITE)),
        ("val_error", [0.2, 0.1], (0, INFINITE)),
        ("loss", [0.2, 0.1], (-INFINITE, INFINITE)),
        ("nll", [0.2, 0.1], (-INFINITE, INFINITE)),
        ("reward", [1.0, 2.0], (-INFINITE, INFINITE)),
        ("accuracy", [-1.0, 0.5], (-INFINITE, INFINITE)),
        ("accuracy", [np.nan], (-INFINITE, INFINITE)),
        ("accuracy", [], (-INFINITE, INFINITE)),
    ],
)
def test_limits_of_metrics(metric: str, values: list[float], limits: tuple[float, float]) -> None:
    assert limits_of(metric, np.array(values, np.float64)) == limits


def test_limits_are_read_from_the_logs() -> None:
    values = 1 - 0.9 * STEPS**-0.9
    points = pd.DataFrame({"run": "a", "step": STEPS, "value": values, "metric": "accuracy"})
    found = forecast_logs(
        points.assign(wall_s=np.nan), pd.DataFrame(index=["a"]), "accuracy", maximize=True, to=800
    )
    assert found.runs[0].hi90 is not None and found.runs[0].hi90 <= 1


def test_at_a_low_rate_the_trend_before_the_decay_goes_on_slowly() -> None:
    """In learning rate times steps 3 log x until 30, then a tenth of the rate and a jump."""
    values = 3 * np.log(np.minimum(STEPS, 30)) + np.where(STEPS > 30, 5.0, 0.0)
    lr = np.where(STEPS > 30, 0.1, 1.0)
    now, then = 30 + 0.1 * 10, 30 + 0.1 * 90
    found = told(values, 120.0, lr=lr)
    assert found.expected_gain == pytest.approx(3 * np.log(then / now), rel=0.05)
    assert found.level == pytest.approx(values[-1], abs=0.5)


@given(
    values=st.lists(st.floats(-1e6, 1e6), max_size=25),
    rates=st.lists(st.sampled_from([0.0, 1e-5, 0.1, 1.0]), min_size=25, max_size=25),
    ahead=st.floats(1.001, 1e4),
    status=st.sampled_from(["", "stopped"]),
    maximize=st.booleans(),
)
def test_whatever_the_curve_the_answer_is_finite_or_none(
    values: list[float], rates: list[float], ahead: float, status: str, maximize: bool
) -> None:
    curve = make_curve("run", np.arange(1.0, len(values) + 1), values, maximize=maximize)
    curve = replace(curve, lr=np.array(rates[: len(values)]), status=status)
    found = forecast(curve, max(1, len(values)) * ahead, SHIPPED)
    json.dumps(found.plain(), allow_nan=False)
    assert found.can_tell or found.flags
