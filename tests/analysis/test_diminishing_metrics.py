"""Which metric is reported when nobody says, its direction, and how its values are shown."""

import numpy as np
import pandas as pd
import pytest

from analysis.logs import LogError
from analysis.metrics import Unit, choose_metric, direction, unit_of


def points_of(runs: dict[str, int], values: tuple[float, ...] = (1.0, 2.0)) -> pd.DataFrame:
    """Metric -> number of runs that have it."""
    rows = [
        (metric, f"run{run}", value)
        for metric, num in runs.items()
        for run in range(num)
        for value in values
    ]
    return pd.DataFrame(rows, columns=["metric", "run", "value"])


@pytest.mark.parametrize(
    ("metrics", "chosen"),
    [
        ({"train/loss": 9, "train/acc": 9, "mIoU": 9, "lr": 9}, "mIoU"),
        ({"IoU.road": 9, "mIoU": 9, "aAcc": 9}, "mIoU"),
        ({"loss": 9, "accuracy": 9, "val_loss": 9, "val_accuracy": 9}, "val_accuracy"),
        ({"loss": 9, "eval_loss": 9, "eval_runtime_seconds": 9}, "eval_loss"),
        ({"loss": 9, "eval_loss": 9, "eval_runtime": 9, "learning_rate": 9}, "eval_loss"),
        ({"loss": 9, "learning_rate": 9, "grad_norm": 9}, "loss"),
        ({"eval_loss": 9, "eval_samples_per_second": 9, "train_runtime": 9}, "eval_loss"),
        ({"eval_loss": 9, "eval_steps_per_second": 9, "total_flos": 9}, "eval_loss"),
        ({"train_loss": 9, "eval_loss": 9, "eval_top1": 9, "eval_top5": 9}, "eval_top1"),
        ({"validation/ssim": 9, "test/ssim": 9, "test/num_examples": 9}, "validation/ssim"),
        ({"val/box_loss": 9, "metrics/mAP50(B)": 9}, "metrics/mAP50(B)"),
        ({"episode_reward_max": 9, "episode_reward_mean": 9, "lr": 9}, "episode_reward_mean"),
        ({"val_psnr": 2, "val_loss": 9}, "val_loss"),
        ({"loss": 9, "lr": 9}, "loss"),
        ({"valLoss": 9, "loss": 9}, "valLoss"),
    ],
)
def test_the_metric_that_is_chosen(metrics: dict[str, int], chosen: str) -> None:
    found, others = choose_metric(points_of(metrics), None)
    assert (found, set(others)) == (chosen, set(metrics) - {chosen})


def test_a_constant_is_no_result() -> None:
    points = pd.concat([points_of({"val_acc": 3}, (5.0, 5.0)), points_of({"loss": 3})])
    assert choose_metric(points, None)[0] == "loss"


def test_the_metric_that_was_asked_for_is_taken() -> None:
    assert choose_metric(points_of({"val_acc": 3, "lr": 1}), "lr") == ("lr", ["val_acc"])


def test_a_metric_without_finite_values_is_none() -> None:
    points = pd.concat([points_of({"val_acc": 3}, (np.nan, np.inf)), points_of({"loss": 3})])
    with pytest.raises(LogError, match="unknown metric 'val_acc'; found: loss"):
        choose_metric(points, "val_acc")


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("val_loss", "min"),
        ("test_error", "min"),
        ("MAE", "min"),
        ("validation/wer", "min"),
        ("val_logloss", "min"),
        ("valloss", "min"),
        ("train/boxloss2", "min"),
        ("cross_entropy", "min"),
        ("val_crossentropy", "min"),
        ("LPIPS", "min"),
        ("brier_score", "min"),
        ("hd95", "min"),
        ("rmsle", "min"),
        ("smape", "min"),
        ("mIoU", "max"),
        ("accuracy/top1", "max"),
        ("lossless_ratio", "max"),
    ],
)
def test_the_direction_by_the_name(metric: str, mode: str) -> None:
    assert direction(metric) == mode
    assert direction(metric, "max") == "max"


@pytest.mark.parametrize(
    ("metric", "values", "value", "gain"),
    [
        ("mIoU", (0.5241, 0.4), "52.4", "+52.41"),
        ("mIoU", (52.41, 40.0), "52.4", "+52.41"),
        ("val_loss", (0.5241, 0.4), "0.5241", "+0.52410"),
        ("val_loss", (1234.5, 2000.0), "1,234", "+1,234.5"),
        ("reward", (-0.5, 0.25), "-0.5000", "-0.50000"),
    ],
)
def test_how_values_and_gains_are_shown(
    metric: str, values: tuple[float, ...], value: str, gain: str
) -> None:
    unit = unit_of(metric, np.array(values))
    assert (unit.value(values[0]), unit.gain(values[0])) == (value, gain)


def test_no_gain_has_no_sign_and_nothing_is_shown_as_nothing() -> None:
    unit = Unit(decimals=1)
    assert [unit.gain(0.001), unit.gain(-0.001), unit.gain(np.nan)] == ["0.00", "0.00", ""]
