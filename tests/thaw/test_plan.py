"""The plan: counts by hand and by brute force, hours, JSON, and that nothing is trained."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from search_spaces.dimensions import Ask, Choice, Int
from search_spaces.grid import grid
from search_spaces.study import Study, config_of, study
from tests.thaw.helpers import FACTS, HEAD_ONLY, Thaw, publish
from thaw.plan import Hours, Plan, draw, make_plan
from trainables.spec import TrialSpec
from training.config import Config
from training.schedule import Facts, Schedule, Stage
from training.settings import Place
from training.store import Store

HEAD = Int(name="head_epochs", low=1, high=2)
LR = Choice(name="lr", values=(1e-3, 1e-2))
MOONS = str(Path(__file__).parents[2] / "docs/own/moons_study.py")
FIELDS = {
    "study",
    "trials",
    "segments_naive",
    "segments_careful",
    "segments_shared",
    "merge_rate",
    "hours_plain",
    "hours_shared",
    "sharing_by_dimension",
    "strategies",
}


def space(ask: Ask, config: Config, seed: int) -> Schedule:
    """One or two epochs of the head, then two of everything at one of two rates."""
    head = Stage(name="head", epochs=ask(HEAD), lr=1e-2, groups=HEAD_ONLY)
    return Schedule(seed=seed, stages=(head, Stage(name="full", epochs=2, lr=ask(LR))))


SMALL = Study(
    name="small",
    question="?",
    system="classifier",
    dimensions=(HEAD, LR),
    space=space,
    points=({"head_epochs": 2, "lr": 1e-3},),
    max_epochs=4,
    grace_epochs=1,
)


def schedule(found: Study, values: Mapping[str, Any]) -> Schedule:
    return found.space(Ask(optuna.trial.FixedTrial(dict(values)), {}), config_of(found, {}), 0)


def plan_of(
    found: Study,
    points: list[dict[str, Any]],
    store: Path,
    *,
    facts: Facts = FACTS,
    hours: float | None = None,
    pinned: Mapping[str, Any] | None = None,
) -> Plan:
    config = config_of(found, {})
    return make_plan(
        found,
        config,
        pinned or {},
        points,
        facts,
        seed=0,
        store=Store(str(store)),
        hours=None if hours is None else Hours(others=hours),
    )


def small(store: Path, **options: Any) -> Plan:
    return plan_of(SMALL, list(grid(SMALL, config_of(SMALL, {}), {})), store, **options)


def settings_of(found: Schedule, facts: Facts) -> tuple[Any, ...]:
    history: list[Any] = []
    while (settings := found.next(history, facts)) is not None:
        history.append(settings)
    return tuple(history)


def test_the_counts_are_those_by_hand(tmp_path: Path) -> None:
    made = small(tmp_path)
    assert (made.trials, made.segments_naive) == (4, 3 + 3 + 4 + 4)
    assert made.segments_careful == 1 + (2 + 2 + 3 + 3), "all begin with one epoch of the head"
    assert made.segments_shared == 2 + 2 * 2 + 2 * 2, "head; all after 1 epoch of it; all after 2"
    assert made.merge_rate == pytest.approx(14 / 10)


def test_what_a_dimension_breaks_is_that_by_hand(tmp_path: Path) -> None:
    assert small(tmp_path).sharing_by_dimension == {
        "head_epochs": pytest.approx((3 + 3 + 3 + 3) / (1 + 2 + 2)),
        "lr": pytest.approx((3 + 3 + 4 + 4) / (2 + 2 + 2)),
    }


@pytest.mark.parametrize(("name", "trials"), [("unfreeze_timing", 12), ("lr_sequence", 30)])
def test_the_counts_are_those_by_brute_force(name: str, trials: int, tmp_path: Path) -> None:
    found = study(name)
    points = draw(found, config_of(found, {}), {}, trials, seed=0)
    spec = TrialSpec(system=found.system, schedule=schedule(found, points[0]))
    facts = spec.facts(Place())
    paths = [settings_of(schedule(found, values), facts) for values in points]
    prefixes = [path[:end] for path in paths for end in range(1, len(path) + 1)]
    distinct = [one for index, one in enumerate(prefixes) if one not in prefixes[:index]]
    ends = range(1, min(map(len, paths)) + 1)
    common = sum(all(path[:end] == paths[0][:end] for path in paths) for end in ends)

    made = plan_of(found, points, tmp_path, facts=facts)
    assert made.segments_naive == sum(len(path) for path in paths)
    assert made.segments_careful == common + sum(len(path) - common for path in paths)
    assert made.segments_shared == len(distinct)


def test_one_trial_has_nothing_to_share(tmp_path: Path) -> None:
    made = plan_of(SMALL, [{"head_epochs": 1, "lr": 1e-3}], tmp_path)
    assert made.segments_naive == made.segments_careful == made.segments_shared == 3
    assert made.merge_rate == 1


def test_hours_are_unknown_where_nothing_tells_them(tmp_path: Path) -> None:
    made = small(tmp_path)
    assert (made.hours_plain, made.hours_shared) == (None, None)
    assert [strategy["hours"] for strategy in made.strategies] == [None]


def test_hours_per_epoch_may_be_given(tmp_path: Path) -> None:
    made = small(tmp_path, hours=0.5)
    assert (made.hours_plain, made.hours_shared) == (7.0, 5.0)
    assert [strategy["hours"] for strategy in made.strategies] == [2.0]


def test_hours_come_from_the_records_and_what_is_stored_costs_nothing(tmp_path: Path) -> None:
    publish(Store(str(tmp_path)), schedule(SMALL, {"head_epochs": 1, "lr": 1e-3}), 3)
    made = small(tmp_path)
    assert made.segments_stored == 3
    assert made.hours_plain == pytest.approx(14 / 3600), "a record is of one second"
    assert made.hours_shared == pytest.approx((10 - 3) / 3600)


def test_given_hours_go_before_the_records(tmp_path: Path) -> None:
    publish(Store(str(tmp_path)), schedule(SMALL, {"head_epochs": 1, "lr": 1e-3}), 3)
    made = small(tmp_path, hours=2.0)
    assert (made.hours_plain, made.hours_shared) == (28.0, 14.0)


def test_pinned_dimensions_hold_for_trials_and_starting_points(tmp_path: Path) -> None:
    pinned = {"head_epochs": 1}
    points = list(grid(SMALL, config_of(SMALL, {}), pinned))
    made = plan_of(SMALL, points, tmp_path, pinned=pinned)
    assert (made.trials, made.segments_naive, made.segments_shared) == (2, 6, 5)
    stages = [{"name": "head", "epochs": 1}, {"name": "full", "epochs": 2}]
    assert [strategy["stages"] for strategy in made.strategies] == [stages]


def test_the_json_has_the_fields_that_are_promised(thaw: Thaw, tmp_path: Path) -> None:
    store = tmp_path / "store"
    code, out, _ = thaw("plan", "lr_sequence", "--json", "--store", store, "--hours-per-epoch", 1)
    assert code == 0
    got = json.loads(out)
    assert set(got) >= FIELDS, FIELDS - set(got)
    assert (got["study"], got["trials"], got["segments_shared"]) == ("lr_sequence", 153, 9 + 354)
    assert got["merge_rate"] == got["segments_naive"] / got["segments_shared"]
    assert set(got["sharing_by_dimension"]) == {d.name for d in study("lr_sequence").dimensions}
    for strategy in got["strategies"]:
        assert set(strategy) == {"name", "stages", "models", "hours"}
        assert strategy["hours"] == sum(stage["epochs"] for stage in strategy["stages"])


def test_a_plan_trains_nothing(thaw: Thaw, tmp_path: Path) -> None:
    store = tmp_path / "store"
    code, out, _ = thaw("plan", MOONS, "--trials", 5, "--store", store)
    assert code == 0
    assert not store.exists()
    assert "moons: 5 trials, nothing is trained" in out
    assert "give --hours-per-epoch" in out


def test_the_same_plan_twice_is_the_same(thaw: Thaw, tmp_path: Path) -> None:
    arguments = ("plan", MOONS, "--trials", 5, "--json", "--store", tmp_path / "store")
    assert thaw(*arguments) == thaw(*arguments)


def test_a_space_with_a_continuous_range_is_drawn_with_its_points_first() -> None:
    found = study("unfreeze_timing")
    drawn = draw(found, config_of(found, {}), {"head_lr": 2e-3}, None, seed=0)
    assert len(drawn) == 24
    assert drawn[:2] == [{**point, "head_lr": 2e-3} for point in found.points]


def test_a_wrong_pin_is_named(thaw: Thaw) -> None:
    line = thaw.refused("plan", "lr_sequence", "--set", "first_drop_epoch=2")
    assert line == "first_drop_epoch: 2 is not allowed; allowed: a whole number, 3 .. 8"
