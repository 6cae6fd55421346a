"""Curves out of points: what is refused, what is left out, what a log says beside the values."""

import numpy as np
import pandas as pd
import pytest

from analysis.curves import Curve, make_curve, read_curves


def points(**columns: object) -> pd.DataFrame:
    defaults = {"run": "a", "step": 1.0, "epoch": np.nan, "wall_s": np.nan, "metric": "acc"}
    table = pd.DataFrame({**defaults, **columns})
    return table.astype({"run": "category", "metric": "category"})


def runs(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"merged_points": 0, "status": "", **columns}, index=["a"])


@pytest.mark.parametrize(
    ("steps", "values", "message"),
    [
        ([1, 2], [1], "steps"),
        ([2, 1], [1, 2], "rise"),
        ([1, 1], [1, 2], "rise"),
        ([0, 1], [1, 2], "positive"),
        ([1, 2], [1, np.nan], "finite"),
    ],
)
def test_an_impossible_curve_is_refused(
    steps: list[float], values: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Curve("a", np.array(steps, np.float64), np.array(values, np.float64))


def test_points_are_sorted_and_cleaned() -> None:
    curve = make_curve("a", [3, 1, 2, 2, 0, 4, 5], [30, 10, 20, 21, 0, np.nan, np.inf])
    assert curve.steps.tolist() == [1, 2, 3]
    assert curve.values.tolist() == [10, 21, 30], "the later of two at a step"


def test_a_part_ends_at_the_step_itself() -> None:
    curve = make_curve("a", [1, 2, 3, 4], [1, 2, 3, 4])
    assert len(curve.until(0.5 * 4)) == 2
    assert len(curve.until(0.3 * 10)) == 3, "0.3 * 10 is 3, but for rounding"
    assert len(curve.until(0.1)) == 0


def test_the_learning_rate_is_read_at_the_evaluations() -> None:
    table = pd.concat(
        [
            points(step=[10.0, 20.0], value=[0.5, 0.6]),
            points(step=[5.0, 10.0, 15.0, 20.0], value=[4.0, 3.0, 2.0, 1.0], metric="train/lr"),
        ]
    )
    (curve,) = read_curves(table, runs(), "acc", maximize=True)
    assert curve.lr is not None
    assert curve.lr.tolist() == [3.0, 1.0]


def test_a_learning_rate_in_another_unit_of_time_is_left_out() -> None:
    table = pd.concat(
        [
            points(step=[1.0, 2.0], value=[0.5, 0.6]),
            points(step=[500.0, 1000.0], value=[0.1, 0.01], metric="lr"),
        ]
    )
    (curve,) = read_curves(table, runs(), "acc", maximize=True)
    assert curve.lr is None


@pytest.mark.parametrize(
    ("name", "is_rate"),
    [
        ("lr", True),
        ("lr/pg0", True),
        ("lr-AdamW", True),
        ("lr_1", True),
        ("train_lr", True),
        ("learning_rate", True),
        ("Learning Rate", True),
        ("lr_noise", False),
        ("color", False),
    ],
)
def test_learning_rates_are_known_by_their_name(name: str, is_rate: bool) -> None:
    table = pd.concat(
        [
            points(step=[10.0, 20.0], value=[0.5, 0.6]),
            points(step=[10.0, 20.0], value=[0.1, 0.1], metric=name),
        ]
    )
    (curve,) = read_curves(table, runs(), "acc", maximize=True)
    assert (curve.lr is not None) == is_rate


def test_the_seconds_of_a_step_do_not_count_a_pause() -> None:
    table = points(
        step=[10.0, 20.0, 30.0, 40.0], value=[1, 2, 3, 4.0], wall_s=[20.0, 40.0, 9000.0, 9020.0]
    )
    (curve,) = read_curves(table, runs(), "acc", maximize=True)
    assert curve.step_s == 2.0


def test_without_times_the_seconds_of_a_step_are_not_known() -> None:
    (curve,) = read_curves(points(step=[1.0, 2.0], value=[1, 2.0]), runs(), "acc", maximize=True)
    assert np.isnan(curve.step_s)


@pytest.mark.parametrize(("merged", "repeated"), [(0, False), (1, False), (6, True)])
def test_a_log_that_repeats_many_steps_is_of_a_run_started_again(
    merged: int, repeated: bool
) -> None:
    table = points(step=np.arange(1.0, 11), value=np.arange(10.0))
    (curve,) = read_curves(table, runs(merged_points=merged), "acc", maximize=True)
    assert curve.repeated == repeated


def test_the_status_is_read() -> None:
    (curve,) = read_curves(points(value=[1.0]), runs(status="stopped"), "acc", maximize=True)
    assert curve.status == "stopped"


def test_a_metric_that_nobody_has_gives_no_curves() -> None:
    assert list(read_curves(points(value=[1.0]), runs(), "nothing", maximize=True)) == []
