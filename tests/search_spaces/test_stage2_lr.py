"""The study of a run on a plateau: the ladder, the trunk, and what sharing saves by plan."""

from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from search_spaces.dimensions import Ask, Given
from search_spaces.stage2_lr import LADDER, STUDY
from thaw.plan import Plan, draw, make_plan
from trainables.camouflage import Settings, build
from training.curves import Cosine
from training.schedule import Facts, Stage
from training.settings import Place
from training.store import Store
from training.task import facts_of

FULL = Settings.parse({"preset": "full", "image_size": 32, "weights": "none"})


@cache
def facts() -> Facts:
    return facts_of(build(FULL), seed=0, place=Place())


def plan(seed: int, folder: str) -> Plan:
    points = draw(STUDY, FULL, {}, 24, seed)
    return make_plan(STUDY, FULL, {}, points, facts(), seed=seed, store=Store(folder), hours=None)


def last(config: Settings, values: dict[str, Any]) -> Stage:
    return STUDY.space(Ask(Given(values), {}), config, 0).stages[-1]


@pytest.mark.parametrize("seed", range(5))
def test_24_trials_at_full_length_save_at_least_2_5_against_naive(seed: int, tmp_path: Any) -> None:
    made = plan(seed, str(tmp_path))
    assert made.merge_rate >= 2.5, made


def test_the_four_options_of_the_ladder_come_first(tmp_path: Any) -> None:
    stages = [last(FULL, dict(point)) for point in LADDER]
    assert [stage.lr for stage in stages] == [2e-4, 3e-4, 3e-4, 4e-4]
    assert [
        stage.lr * stage.curve.floor for stage in stages if isinstance(stage.curve, Cosine)
    ] == (pytest.approx([1e-5, 2e-5, 2e-5, 5e-5]))
    assert [86 + stage.epochs for stage in stages] == [120, 150, 150, 180]
    assert [stage.image_size for stage in stages] == [384, 384, 416, 448]
    assert [stage.warmup.epochs for stage in stages] == [0, 0, 3, 5]
    assert draw(STUDY, FULL, {}, 4, 0) == [dict(point) for point in LADDER]


def test_deep_supervision_is_on_or_off_from_the_resume_point() -> None:
    on, off = (last(FULL, {**LADDER[0], "deep_supervision": value}) for value in (True, False))
    assert (on.loss["deep_supervision"], off.loss["deep_supervision"]) == (0.4, 0.0)


def test_a_run_that_continues_is_asked_for_no_rate() -> None:
    trial = optuna.trial.FixedTrial(
        {"curve_on_resume": "continue", "train_px": 384, "deep_supervision": True}
    )
    assert STUDY.space(Ask(trial, {}), FULL, 0).num_epochs == 120


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (18, 10)),
        ({"preset": "full", "weights": "none"}, (180, 96)),
        ({"preset": "full", "resume_epoch": 86}, (94, 10)),
        ({"preset": "full", "resume_epoch": 115}, (65, 5)),
    ],
    ids=str,
)
def test_its_lengths_are_those_of_the_preset(
    fields: dict[str, Any], expected: tuple[int, int], tmp_path: Path
) -> None:
    """From where schedules begin to epoch 180, and to the check 10 epochs after the resume point
    at 86, or to the end of the shortest option."""
    torch.save({}, tmp_path / "weights.pt")
    config = Settings.parse({"weights": str(tmp_path / "weights.pt")} | fields)
    sized = STUDY.sized(config)
    assert (sized.max_epochs, sized.grace_epochs) == expected
    longest = STUDY.space(Ask(Given(LADDER[3]), {}), config, 0)
    assert longest.num_epochs == sized.max_epochs


def test_the_sample_takes_a_tenth_of_the_epochs_and_ten_times_the_rates() -> None:
    config = Settings()
    stages = [last(config, dict(point)) for point in LADDER]
    assert [stage.lr for stage in stages] == pytest.approx([2e-3, 3e-3, 3e-3, 4e-3])
    assert [9 + stage.epochs for stage in stages] == [12, 15, 15, 18]
    assert [stage.image_size for stage in stages] == [48, 48, 52, 56]
