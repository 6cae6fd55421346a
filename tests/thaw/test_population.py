"""Population-based training: who begins again where, and that chance is repeatable."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from search_spaces.dimensions import Choice, Int, Real
from tests.thaw.helpers import FACTS, spec
from thaw.population import Population
from thaw.trials import Proposal
from trainables.slot import Assignment
from trainables.spec import TrialSpec
from training.errors import UserError
from training.schedule import Schedule
from training.walk import foresee

HEAD_LR = Real(name="head_lr", low=1e-3, high=1e-1, log=True)
FULL_LR = Real(name="full_lr", low=1e-3, high=1e-1, log=True)


def build(values: Mapping[str, Any]) -> tuple[dict[str, Any], Schedule]:
    made = spec(values["full_lr"], head_lr=values["head_lr"])
    return dict(values), made.schedule


def proposal(name: str, head_lr: float, done: int = 1) -> Proposal:
    values = {"head_lr": head_lr, "full_lr": 0.01}
    made = spec(0.01, head_lr=head_lr)
    assignment = Assignment(name, made, FACTS)
    keys = foresee(made.schedule, FACTS)
    return Proposal(values=values, assignment=assignment, keys=keys, done=4, reached=done)


def ruled(made: Schedule) -> Schedule:
    """Return a schedule whose last stage may end early."""
    plain = made.plain()
    plain["stages"][-1]["until"] = {"any": [{"kind": "loss_flat"}]}
    return Schedule.parse(plain)


def generation(
    seed: int = 0, num: int = 8, build: Any = build
) -> tuple[Population, dict[str, Proposal]]:
    """Return a population that has come to the end of its first generation, later ones better."""
    population = Population(1.0, (HEAD_LR, FULL_LR), build, seed)
    paused = {}
    for number in range(num):
        name = f"{number:04}"
        assert not population.passes(name, 1.0, number / 10)
        paused[name] = proposal(name, 0.01 + number / 1000)
    return population, paused


def started(population: Population, paused: dict[str, Proposal]) -> list[Proposal]:
    found = []
    while (one := population.next(paused, is_last=True)) is not None:
        found.append(one)
        if not paused:
            break
    return found


def test_nobody_pauses_before_the_interval() -> None:
    population, _ = generation()
    assert population.passes("0000", 0.5, 0.1)


def test_nobody_goes_on_while_others_run() -> None:
    population, paused = generation()
    assert population.next(paused, is_last=False) is None


def test_the_worst_quarter_goes_on_from_the_best_quarter() -> None:
    population, paused = generation()
    donors = {paused[name].keys[0] for name in ("0006", "0007")}
    next_ones = started(population, paused)
    assert [one.name for one in next_ones] == [f"{number:04}" for number in range(8)]
    assert [one.name for one in next_ones if one.forked] == ["0000", "0001"]
    assert {one.keys[0] for one in next_ones[:2]} <= donors
    assert all(one.reached == 1 for one in next_ones)


def test_a_fork_has_other_values_within_their_range() -> None:
    population, paused = generation()
    first = started(population, paused)[0]
    assert set(first.values) == {"head_lr", "full_lr"}
    assert all(1e-3 <= value <= 1e-1 for value in first.values.values())
    assert first.values["full_lr"] != 0.01
    fork = first.assignment.spec.schedule.fork
    assert fork is not None and fork.at == 1


@pytest.mark.parametrize("whose", ["new", "donors"])
def test_schedules_with_rules_are_not_forked(whose: str) -> None:
    def build_ruled(values: Mapping[str, Any]) -> tuple[dict[str, Any], Schedule]:
        known, made = build(values)
        return known, ruled(made)

    population, paused = generation(build=build_ruled if whose == "new" else build)
    if whose == "donors":
        for one in paused.values():
            made = one.assignment.spec
            spec_of = made.with_schedule(ruled(made.schedule))
            one.assignment = replace(one.assignment, spec=spec_of)
    for one in started(population, paused):
        written = one.assignment.spec.yaml()
        TrialSpec.parse(yaml.safe_load(written))


def test_a_trial_goes_on_as_it_is_where_new_values_have_no_schedule() -> None:
    def refuse(values: Mapping[str, Any]) -> tuple[dict[str, Any], Schedule]:
        raise UserError("stages.0.groups: matches nothing")

    assert not any(one.forked for one in started(*generation(build=refuse)))


def test_a_paused_trial_passes_the_interval_it_has_paused_at() -> None:
    population, paused = generation()
    started(population, paused)
    assert population.passes("0003", 1.0, 0.3), "it is replayed up to here"
    assert not population.passes("0003", 2.0, 0.3)


def test_the_same_seed_makes_the_same_forks() -> None:
    values = [[one.values for one in started(*generation(seed))] for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_one_trial_alone_goes_on_as_it_is() -> None:
    (only,) = started(*generation(num=1))
    assert not only.forked


def test_choices_and_whole_numbers_move_to_their_neighbours() -> None:
    policy = Choice(name="policy", values=("a", "b", "c"))
    epochs = Int(name="epochs", low=1, high=3)
    seen: list[Mapping[str, Any]] = []

    def note(values: Mapping[str, Any]) -> tuple[dict[str, Any], Schedule]:
        seen.append(values)
        return dict(values), spec(0.01).schedule

    for seed in range(30):
        population = Population(1.0, (policy, epochs), note, seed)
        paused = {name: proposal(name, 0.01) for name in "ab"}
        for one in paused.values():
            one.values = {"policy": "a", "epochs": 3}
            population.passes(one.name, 1.0, 0.5)
        started(population, paused)
    assert {(v["policy"], v["epochs"]) for v in seen} >= {("b", 2), ("a", 3)}
    assert all(v["policy"] in "abc" and 1 <= v["epochs"] <= 3 for v in seen)
