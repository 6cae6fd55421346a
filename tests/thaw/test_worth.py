"""Ending a run by its predicted gain: the rule, the replay of recorded curves, the scheduler."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from rich.console import Console

from analysis.conformal import RATIOS, pool_of
from analysis.curves import Curve, make_curve
from analysis.stopping import outlook, replay
from search_spaces.study import study
from tests.thaw.helpers import spec
from thaw.options import Options
from thaw.search import search
from thaw.worth import Worth, watch
from trainables.slot import TRIAL
from training.errors import UserError

POOL = pool_of(np.empty((0, len(RATIOS))))
STEPS = np.arange(1, 33) * 10.0
ENDS = (80.0, 160.0, 240.0, 320.0)


def curve(values: Any) -> Curve:
    return make_curve("run", STEPS[: len(values)], values)


def saturating() -> Any:
    return 0.5 - 0.3 * np.exp(-STEPS / 15) + 0.0005 * np.cos(STEPS)


def rising() -> Any:
    return 0.2 + 0.1 * np.log(STEPS) / np.log(320) + 0.0003 * STEPS


def test_a_phase_pays_by_its_gain_for_a_device_hour() -> None:
    timed = Curve("run", STEPS[:8], rising()[:8], step_s=36.0)  # 80 steps are 0.8 hours
    found = outlook(timed, 160, POOL)
    assert found.hours == pytest.approx(0.8)
    assert found.gain is not None and 0.01 < found.gain < 0.05
    rate = found.gain / found.hours
    assert found.pays(0.99 * rate) and not found.pays(1.01 * rate)
    assert outlook(timed, 160, POOL, num_devices=2).hours == pytest.approx(1.6)


def test_where_nobody_can_tell_it_goes_on() -> None:
    short = Curve("run", STEPS[:3], rising()[:3], step_s=36.0)
    assert outlook(short, 160, POOL).gain is None and outlook(short, 160, POOL).pays(1e9)
    assert outlook(curve(rising()[:8]), 160, POOL).pays(1e9), "the log has no times"


def test_a_saturated_run_is_cut_and_a_rising_one_is_not() -> None:
    least = 0.01 / 80  # a point a phase
    cut = replay(curve(saturating()), ENDS, POOL, least)
    assert cut.stopped_at == 160 and cut.saved == 0.5 and 0 <= cut.lost < 0.005
    whole = replay(curve(rising()), ENDS, POOL, least)
    assert (whole.stopped_at, whole.saved, whole.lost) == (320, 0, 0)


def test_a_price_of_nothing_stops_nothing_that_is_not_falling() -> None:
    assert replay(curve(saturating()), ENDS, POOL, -1.0).saved == 0


def stopped_at(
    values: Any,
    hours_per_point: float,
    *,
    until: int = 0,
    before_s: float = 0,
    between: bool = False,
    **phases: int,
) -> tuple[int, Worth]:
    """Run a trial of 32 epochs, an hour each, through a scheduler; return its last epoch.

    Segments on other data come first, for `before_s`, and after each epoch where `between`.
    """
    worth = Worth("val_miou", "max", hours_per_point, 8, phases)
    scheduler = FIFOScheduler()  # type: ignore[no-untyped-call]
    watch(scheduler, worth)
    trial_spec = spec(0.1, num_head=30)
    assignment = SimpleNamespace(name="0000", spec=trial_spec, until=until)
    trial: Any = SimpleNamespace(config={TRIAL: assignment})
    results = [(0, np.nan, share * before_s) for share in (0.5, 1.0) if before_s]
    for epoch, value in enumerate(values, 1):
        results.append((epoch, value, before_s + 3600 * epoch))
        results += [(epoch, np.nan, before_s + 3600 * epoch)] * between
    for epoch, value, cost_s in results:
        result = {"epoch": epoch, "val_miou": value, "cost_s": cost_s}
        if scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:  # type: ignore[arg-type]
            return epoch, worth
    return len(values), worth


def test_a_trial_ends_at_a_phase_end_where_its_points_are_too_dear() -> None:
    epoch, worth = stopped_at(saturating(), hours_per_point=8)
    assert epoch == 16 and worth.stopped == {"0000"}


def test_a_trial_with_another_base_length_is_looked_at_by_it() -> None:
    assert stopped_at(saturating(), hours_per_point=8, **{"0000": 12})[0] == 12


def test_who_pays_more_trains_longer() -> None:
    assert stopped_at(rising(), hours_per_point=8)[0] == 32
    assert stopped_at(rising(), hours_per_point=0.5)[0] == 8


@pytest.mark.parametrize("other", [{"before_s": 7200.0}, {"between": True}])
def test_segments_on_other_data_do_not_switch_it_off(other: Any) -> None:
    assert stopped_at(saturating(), hours_per_point=8, **other)[0] == 16


def test_an_epoch_costs_nothing_of_the_pretraining() -> None:
    assert stopped_at(rising(), hours_per_point=8, before_s=1e6)[0] == 32


def test_with_a_scheduler_that_lets_stopped_trials_go_on_it_is_refused(tmp_path: Path) -> None:
    options = Options(
        study="training_length",
        trials=1,
        seed=0,
        out=str(tmp_path / "out"),
        store=str(tmp_path / "store"),
        scheduler="asha-promote",
        hours_per_point=1.0,
    )
    with pytest.raises(UserError, match="--hours-per-point: asha-promote lets stopped trials"):
        search(study("training_length"), {}, {}, options, Console())


def test_a_replayed_trial_is_not_judged_again() -> None:
    assert stopped_at(saturating(), hours_per_point=8, until=20)[0] == 32
