"""What a progress view says of a run that is under way."""

import math

import numpy as np

from search_spaces.study import config_of, study
from thaw.watch import Watch, watch_of
from trainables.camouflage import baseline
from trainables.spec import TrialSpec


def said(values: list[float], losses: list[float] | None = None, pace: float = 0.5) -> list[str]:
    """Return what is said after each epoch."""
    watch, found = Watch("val_iou", pace), []
    for number, value in enumerate(values, 1):
        loss = 0.3 if losses is None else losses[number - 1]
        watch.take(number, {"val_iou": value, "val_loss": loss})
        found.append(watch.says())
    return found


RISE = [0.40, 0.50, 0.58, 0.61, 0.617]
FLAT = [0.62, 0.621, 0.619, 0.62] * 4


def test_a_plateau_is_named_with_its_epoch() -> None:
    found = said(RISE + FLAT)
    assert set(found[:14]) == {""}
    assert found[-1] == "plateau since epoch 6", "the level is the second best"


def test_a_run_that_moves_again_is_on_no_plateau() -> None:
    rise = [0.62 + 0.01 * epoch for epoch in range(1, 8)]
    assert said(RISE + FLAT + rise)[-1] == ""


def test_an_explosion_is_said_while_it_is_new() -> None:
    values = [*RISE, 0.1, 0.5, 0.6, 0.62, 0.63]
    losses = [0.3] * 5 + [2.0] + [0.3] * 4
    assert said(values, losses)[5:9] == ["exploded at epoch 6"] * 3 + [""]


def test_a_dip_is_said_while_it_lasts() -> None:
    values = [*(0.5 + 0.01 * epoch for epoch in range(10)), 0.45, 0.45, 0.60, 0.61]
    assert said(values)[9:] == ["", "dip", "dip", "", ""]


def test_another_data_set_and_other_metrics_are_not_judged() -> None:
    watch = Watch("val_iou", 0.1)
    for number in range(1, 30):
        watch.take(number, {"val_iou": math.nan, "val_loss": math.nan})
        assert watch.says() == ""
        watch.take(number, {"psnr": 25.0})
        assert watch.says() == ""


def test_a_run_that_went_back_forgets_what_came_after() -> None:
    watch = Watch("val_iou", 0.5)
    for number, value in enumerate(RISE + FLAT, 1):
        watch.take(number, {"val_iou": value})
    assert watch.says()
    watch.take(6, {"val_iou": 0.7})
    assert watch.says() == ""


def test_runs_that_are_well_are_rarely_called_stuck() -> None:
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        rise = 0.3 + 0.4 * (1 - np.exp(-np.arange(40) / random.uniform(15, 30)))
        values = rise + random.normal(0, random.uniform(0.001, 0.006), 40)
        alarms += any("plateau" in one for one in said(list(values), pace=1.0))
    assert alarms <= 2, alarms


def test_a_system_says_its_metric_and_pace() -> None:
    config = config_of(study("stage2_lr"), {})
    spec = TrialSpec(system="camouflage", schedule=baseline(config, seed=0))  # type: ignore[arg-type]
    watch = watch_of(spec, "segment")
    for number in range(1, 6):
        watch.take(number, {"val_iou": 0.42, "val_loss": 1.0})
    assert watch.says() == "plateau since segment 1", "a pace of a tenth waits for 2 epochs"
