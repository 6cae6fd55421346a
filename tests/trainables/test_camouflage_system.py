"""Two stages with the source's numbers: lengths, curves, resuming, somebody's checkpoint."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from search_spaces.dimensions import Ask, Given
from search_spaces.stage2_lr import LADDER, STUDY
from thaw.export import write_model
from trainables.camouflage import Settings, baseline, build, controls, stuck_run
from trainables.spec import TrialSpec
from training.checkpoints import checkpoint_epoch
from training.errors import UserError
from training.record import Record
from training.schedule import Facts, Schedule, Stage
from training.settings import Place
from training.settings import Settings as Realised
from training.store import Store
from training.task import facts_of
from training.walk import UNKNOWN

FULL: dict[str, Any] = {"preset": "full", "image_size": 32, "weights": "none"}
# LR of the first step of epochs 87 to 120, in units of 1e-5, three digits: the formula on paper
RESTARTED = [
    20.0,
    20.0,
    19.8,
    19.6,
    19.4,
    19.0,
    18.6,
    18.1,
    17.5,
    16.9,
    16.2,
    15.5,
    14.7,
    13.9,
    13.1,
    12.2,
    11.4,
    10.5,
    9.62,
    8.75,
    7.9,
    7.07,
    6.27,
    5.5,
    4.77,
    4.1,
    3.48,
    2.92,
    2.42,
    2.0,
    1.64,
    1.36,
    1.16,
    1.04,
]
CONTINUED = [
    6.94,
    6.64,
    6.34,
    6.04,
    5.75,
    5.47,
    5.19,
    4.92,
    4.65,
    4.39,
    4.14,
    3.9,
    3.67,
    3.44,
    3.22,
    3.01,
    2.81,
    2.62,
    2.44,
    2.27,
    2.11,
    1.96,
    1.82,
    1.69,
    1.57,
    1.46,
    1.37,
    1.28,
    1.21,
    1.14,
    1.09,
    1.05,
    1.02,
    1.01,
]


@cache
def facts() -> Facts:
    return facts_of(build(config()), seed=0, place=Place())


def config(**fields: Any) -> Settings:
    return Settings.parse(FULL | fields)


def epochs(plan: Schedule) -> list[Realised]:
    """The settings of every epoch."""
    plan.check(facts())
    found, history = list[Realised](), list[Record]()
    while (settings := plan.next(history, facts())) is not None:
        found.append(settings)
        history.append(UNKNOWN)
    return found


def option(number: int, chosen: Settings, **changed: Any) -> Schedule:
    """An option of the ladder, counted from 1."""
    return STUDY.space(Ask(Given(LADDER[number - 1] | changed), {}), chosen, 0)


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    file = tmp_path / "stuck.pt"
    torch.save({"model_state_dict": {}, "epoch": 86}, file)
    return str(file)


def digits(lrs: list[float]) -> list[float]:
    return [float(f"{lr * 1e5:.3g}") for lr in lrs]


def test_the_restarted_cosine_of_the_source(checkpoint: str) -> None:
    """Epoch 87 starts at the full stage-2 LR, 120 ends near the floor."""
    found = epochs(option(1, config(weights=checkpoint)))
    assert len(found) == 120 - 86
    assert digits([settings.lrs[0] for settings in found]) == RESTARTED
    assert found[0].lrs[0] == 2e-4
    assert found[-1].lrs[-1] == pytest.approx(1e-5, rel=1e-3)


def test_the_continued_cosine_of_the_source(checkpoint: str) -> None:
    found = epochs(option(1, config(weights=checkpoint), curve_on_resume="continue"))
    assert digits([settings.lrs[0] for settings in found]) == CONTINUED
    assert found[-1].lrs[-1] == pytest.approx(1e-5, rel=1e-3)


def test_continuing_a_checkpoint_is_continuing_the_run() -> None:
    """With and without the trunk, and as the plan that never stopped."""
    whole = epochs(baseline(config(), seed=0))
    resumed = epochs(option(1, config(), curve_on_resume="continue"))
    assert [s.lrs for s in whole] == [s.lrs for s in resumed]


def test_a_restart_shares_the_run_that_is_stuck() -> None:
    one, other = (epochs(option(number, config())) for number in (1, 4))
    assert len(one) == 120 and len(other) == 180
    assert [s.plain() for s in one[:86]] == [s.plain() for s in other[:86]]
    assert other[86].lrs[0] == pytest.approx(4e-4 * 0.01), "warm-up"
    assert other[91].lrs[0] == pytest.approx(4e-4)
    assert other[-1].lrs[-1] == pytest.approx(5e-5, rel=1e-3)
    assert (one[86].image_size, other[86].image_size) == (384, 448)


def test_stage_1_is_a_one_cycle_on_a_frozen_backbone() -> None:
    first = epochs(baseline(config(), seed=0))[:30]
    rates = [lr for settings in first for lr in settings.lrs]
    assert max(rates) == pytest.approx(2.5e-4, rel=1e-3)
    assert rates[0] == pytest.approx(1e-5) and rates[-1] < 1e-8
    trained = {name for s in first for name, value in s.multipliers if value is not None}
    assert trained == {"decoder", "experts", "head"}
    assert {(s.batch_size, s.accumulate) for s in first} == {(8, 4)}, "2 images at once, 4 times"


def test_stage_2_thaws_from_the_end_and_keeps_its_optimizer() -> None:
    second = epochs(baseline(config(), seed=0))[30:]
    frozen = [[name for name, value in s.multipliers if value is None] for s in second]
    assert frozen[0] == ["stem", "stages_0", "stages_1", "stages_2"]
    assert frozen[10] == ["stem", "stages_0", "stages_1"]
    assert frozen[20] == []
    assert [number for number, s in enumerate(second) if s.fresh_optimizer] == [0]
    assert {(s.batch_size, s.accumulate) for s in second} == {(4, 4)}, "1 image at once"


def test_a_checkpoint_begins_where_it_was(checkpoint: str) -> None:
    assert stuck_run(config(weights=checkpoint)) == ()
    assert [s.epochs for s in stuck_run(config(weights=checkpoint, resume_epoch=40))] == [10, 36]
    stages = baseline(config(weights=checkpoint, resume_epoch=12), seed=0).stages
    assert [stage.epochs for stage in stages] == [18, 10, 10, 70]
    assert not stages[0].keep_optimizer, "a checkpoint has no optimizer"


def test_the_rest_of_stage_1_is_on_its_curve(checkpoint: str) -> None:
    whole = epochs(baseline(config(), seed=0))
    rest = epochs(baseline(config(weights=checkpoint, resume_epoch=12), seed=0))
    assert [s.lrs for s in rest] == [s.lrs for s in whole[12:]]


def test_stage_1_can_be_skipped(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "bare.pt")  # says no epoch
    stages = baseline(config(weights=str(tmp_path / "bare.pt"), skip_stage1=True), seed=0).stages
    assert [stage.epochs for stage in stages] == [10, 10, 70]
    whole = baseline(config(weights=str(tmp_path / "bare.pt")), seed=0)
    assert whole.num_epochs == 120


@pytest.mark.parametrize(
    ("fields", "epoch"),
    [({"resume_epoch": 9}, 11), ({}, 88), ({"skip_stage1": True, "resume_epoch": 0}, 32)],
)
def test_an_exported_model_counts_from_its_checkpoint(
    fields: dict[str, Any], epoch: int, checkpoint: str, tmp_path: Path
) -> None:
    task = {**FULL, "weights": checkpoint, **fields}
    plan = Schedule(stages=(Stage(name="more", epochs=2, lr=1e-3),))
    spec = TrialSpec(system="camouflage", task=task, schedule=plan)
    store, key = Store(str(tmp_path / "store")), "a" * 64
    store.publish(replace(UNKNOWN, key=key, index=1), {"models": {}, "averaged": None})
    write_model(spec, store, key, tmp_path)
    assert checkpoint_epoch(str(tmp_path / "model.pt")) == epoch


def test_a_resume_epoch_past_the_end_is_refused(checkpoint: str) -> None:
    for chosen in (config(weights=checkpoint, resume_epoch=120), Settings(weights=checkpoint)):
        with pytest.raises(UserError, match=r"resume_epoch \d+: the plan .* ends at epoch 12") as e:
            option(1, chosen)
        assert "allowed: 0 .. 11" in str(e.value)


def test_a_resume_epoch_without_a_checkpoint_is_refused() -> None:
    with pytest.raises(UserError, match=r"resume_epoch 86: needs a checkpoint \(weights=FILE\)"):
        baseline(config(resume_epoch=86), seed=0)


def test_both_presets_run_the_same_stages() -> None:
    sample, full = (baseline(c, seed=0).stages for c in (Settings(), config()))
    assert [stage.name for stage in sample] == [stage.name for stage in full]
    assert [stage.epochs for stage in sample] == [3, 1, 1, 7]


def test_a_stuck_run_goes_on_as_it_was_where_that_is_not_the_baseline() -> None:
    assert controls(config()) == {}
    stuck = controls(Settings())["stuck"](Settings(), seed=3)
    assert (stuck.seed, stuck.num_epochs) == (3, 12)
    assert [stage.lr for stage in stuck.stages] == pytest.approx([2.5e-3, 4e-6, 4e-6, 4e-6])


def test_what_is_given_goes_before_the_preset() -> None:
    assert Settings.parse({"preset": "full"}).model == "edgenext_base"
    assert Settings.parse({"preset": "full", "model": "edgenext_small"}).model == "edgenext_small"
    with pytest.raises(UserError, match=r"preset: .*'full' or 'sample'"):
        Settings.parse({"preset": "huge"})
