"""What every study promises; a new one inherits these tests by its line in `STUDIES`."""

from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest

from benchmarks._cases import CASES
from search_spaces.dimensions import Ask
from search_spaces.study import STUDIES, Study, config_of, study
from tests.conformance.helpers import task_of, train
from trainables.systems import SYSTEMS, system
from training.schedule import Facts, Schedule
from training.settings import Place
from training.task import facts_of
from training.walk import foresee

every_study = pytest.mark.parametrize("name", STUDIES)
NUM_DRAWS = 50


@cache
def facts(name: str) -> Facts:
    return facts_of(task_of(study(name).system), seed=0, place=Place())


def schedule(found: Study, values: dict[str, Any]) -> Schedule:
    trial = optuna.trial.FixedTrial(values)
    return found.space(Ask(trial, {}), config_of(found, {}), 0)


def draws(found: Study) -> list[tuple[dict[str, Any], Schedule]]:
    """Random values, each with the schedule they mean."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    trials = optuna.create_study(sampler=sampler)
    asks = [Ask(trials.ask(), {}) for _ in range(NUM_DRAWS)]
    schedules = [found.space(ask, config_of(found, {}), 0) for ask in asks]
    return [(ask.values, drawn) for ask, drawn in zip(asks, schedules, strict=True)]


@every_study
def test_it_has_the_name_it_is_found_by(name: str) -> None:
    assert study(name).name == name


@every_study
def test_it_is_about_a_system_that_exists(name: str) -> None:
    assert study(name).system in SYSTEMS


@every_study
def test_it_is_compared_with_plain_ray(name: str) -> None:
    assert name in CASES  # of `python -m benchmarks.shared_prefixes`


@every_study
def test_every_dimension_says_what_it_is_and_in_which_unit(name: str) -> None:
    found = study(name).dimensions
    assert [dimension.name for dimension in found if not (dimension.help and dimension.unit)] == []


@every_study
def test_no_dimension_has_the_name_of_a_field_of_the_task(name: str) -> None:
    fields = system(study(name).system).Settings.model_fields
    assert {dimension.name for dimension in study(name).dimensions} & set(fields) == set()


@every_study
def test_it_asks_for_its_dimensions_in_their_order(name: str) -> None:
    found = study(name)
    listed = [dimension.name for dimension in found.dimensions]
    asked: set[str] = set()
    for values, _ in draws(found):
        assert list(values) == [dimension for dimension in listed if dimension in values]
        asked |= set(values)
    assert asked == set(listed), "a dimension that is never asked for"


@every_study
def test_its_points_are_accepted_by_their_dimensions(name: str) -> None:
    found = study(name)
    for point in found.points:
        accepted = {key: found.dimension(key).accept(value) for key, value in point.items()}
        assert accepted == point


@every_study
def test_the_schedule_of_each_point_fits_the_task(name: str) -> None:
    for point in study(name).points:
        schedule(study(name), dict(point)).check(facts(name))


@every_study
def test_random_schedules_fit_the_task(name: str) -> None:
    for _, drawn in draws(study(name)):
        drawn.check(facts(name))


@every_study
def test_no_schedule_is_longer_than_it_says(name: str) -> None:
    found = study(name)
    lengths = [
        sum(stage.epochs for stage in drawn.stages if stage.data == drawn.objective)
        for _, drawn in draws(found)
    ]
    assert max(lengths) <= found.max_epochs, f"{max(lengths)} epochs, not {found.max_epochs}"
    assert 1 <= found.grace_epochs <= min(lengths), f"grace, but {min(lengths)} epochs"


@every_study
def test_equal_values_mean_equal_schedules(name: str) -> None:
    for values, drawn in draws(study(name)):
        assert schedule(study(name), values) == drawn


@every_study
def test_it_takes_the_seed_it_is_given(name: str) -> None:
    found = study(name)
    values, _ = draws(found)[0]
    ask = Ask(optuna.trial.FixedTrial(values), {})
    assert found.space(ask, config_of(found, {}), 7).seed == 7


@every_study
def test_a_schedule_survives_its_yaml(name: str) -> None:
    for _, drawn in draws(study(name)):
        again = Schedule.parse(drawn.plain())
        assert again == drawn
        assert foresee(again, facts(name)) == foresee(drawn, facts(name))


@every_study
def test_its_metric_is_measured_on_the_data_it_is_about(name: str, tmp_path: Path) -> None:
    found = study(name)
    _, drawn = draws(found)[0]
    last = train(found.system, drawn, tmp_path)[-1].record
    assert last.data == drawn.objective
    assert found.metric in last.metrics, f"only {sorted(last.metrics)}"
    assert found.mode in ("max", "min")
