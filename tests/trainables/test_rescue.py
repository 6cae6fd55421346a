"""The documented schedule that climbs the ladder by itself, on records made by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from trainables.camouflage import Settings, stuck_run
from trainables.spec import TrialSpec
from training.record import Record
from training.settings import Place
from training.walk import UNKNOWN

FILE = Path(__file__).parents[2] / "docs/rescue.yaml"
STUCK = [0.40, 0.41, 0.42, *[0.42] * 4]


def record(iou: float, loss: float = 1.0) -> Record:
    metrics = {"val_iou": iou, "val_loss": loss, "train_loss": loss}
    return replace(UNKNOWN, data="target", metrics=metrics)


def next_lr(history: list[Record]) -> tuple[float, str]:
    spec = TrialSpec.read(str(FILE))
    settings = spec.schedule.next(history, spec.facts(Place()))
    assert settings is not None
    return settings.lrs[0], spec.schedule.event(history)


def test_no_gain_takes_the_next_option() -> None:
    history = [record(iou) for iou in STUCK]
    assert next_lr(history)[0] == 2e-3
    lr, event = next_lr([*history, record(0.42), record(0.421)])
    assert event == "stuck: option 1 ends" and lr < 4e-3, "warm-up of option 4"


def test_a_gain_goes_on() -> None:
    lr, event = next_lr([record(iou) for iou in (*STUCK, 0.45, 0.48)])
    assert event == "" and lr < 2e-3


def test_an_explosion_goes_back_with_a_lower_rate() -> None:
    lr, event = next_lr([*(record(iou, 0.2341) for iou in STUCK), record(0.1, 1.5678)])
    assert event == "explodes: back to segment 7 (stuck), try 2 with LR x 0.667"
    assert lr == 2e-3 * 0.667 * 0.01, "it warms up"


def test_an_explosion_within_a_stage_goes_back_to_the_epoch_before() -> None:
    seen = [record(iou, 0.2341) for iou in (*STUCK, 0.45, 0.50)]
    at = next_lr(seen)[0]
    lr, event = next_lr([*seen, record(0.1, 1.5678)])
    assert event == "explodes: back to segment 9 (option 1), try 2 with LR x 0.667"
    assert lr == pytest.approx(at * 0.667 * 0.01), "the same place on the curve"


def test_the_last_option_goes_on_where_it_is_short_of_the_target() -> None:
    short = [record(iou) for iou in (*STUCK, 0.42, 0.421, 0.5, 0.6, 0.65, 0.66, 0.66, 0.66)]
    lr, event = next_lr(short)
    assert event == "below: 3 epochs longer"
    assert lr > 4e-3 * 0.125, "the curve is laid out over 9 epochs"
    done = [*short[:-6], *(record(iou) for iou in (0.5, 0.6, 0.7, 0.73, 0.74, 0.75))]
    spec = TrialSpec.read(str(FILE))
    assert spec.schedule.next(done, spec.facts(Place())) is None


def test_a_dip_changes_nothing() -> None:
    lr, event = next_lr([record(iou) for iou in (*STUCK, 0.45, 0.36)])
    assert event == "" and lr < 2e-3


def test_the_documented_stuck_run_is_that_of_the_study() -> None:
    spec = TrialSpec.read(str(FILE.with_name("stuck.yaml")))
    assert spec.config() == Settings()
    assert spec.schedule.stages == stuck_run(Settings())
