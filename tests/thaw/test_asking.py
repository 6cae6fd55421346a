"""What samplers see of paused trials, and what Optuna holds meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from tests.thaw.helpers import FACTS, spec
from thaw.asking import OptunaSource
from thaw.results import Table
from thaw.resume import take_up
from thaw.trials import Proposal
from trainables.slot import Assignment
from training.errors import UserError

_BEST = 0.2


class Noting(RandomSampler):
    """Notes the states of the trials whenever it is asked."""

    seen: tuple[TrialState, ...] = ()

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Note them."""
        self.seen = tuple(t.state for t in study.get_trials(deepcopy=False))


def propose(trial: optuna.Trial | optuna.trial.FrozenTrial) -> Proposal:
    """One value, whose trial is of no matter here."""
    values: dict[str, Any] = {"x": trial.suggest_float("x", 0, 1)}
    return Proposal(
        values=values, assignment=Assignment(f"{trial.number:04}", spec(0.01), FACTS), keys=()
    )


def source_of(study: optuna.Study, sampler: BaseSampler) -> OptunaSource:
    return OptunaSource(study, propose, num_trials=100, sampler=lambda number: sampler)


def asked(source: OptunaSource) -> Proposal:
    proposal = source.next()
    assert proposal is not None
    return proposal


def test_a_paused_trial_looks_pruned_to_samplers_and_is_running_to_optuna() -> None:
    study, sampler = optuna.create_study(), Noting()
    source = source_of(study, sampler)
    paused = asked(source)
    source.report(paused, 1, 0.5)
    source.pause(paused)
    asked(source)
    assert sampler.seen == (TrialState.PRUNED, TrialState.RUNNING)
    assert study.trials[0].state == TrialState.RUNNING


def test_a_trial_that_goes_on_is_running_again() -> None:
    study, sampler = optuna.create_study(), Noting()
    source = source_of(study, sampler)
    paused = asked(source)
    source.pause(paused)
    source.go_on(paused)
    asked(source)
    assert sampler.seen == (TrialState.RUNNING, TrialState.RUNNING)


@pytest.mark.parametrize("ended", ["finished", "stopped"])
def test_a_paused_trial_can_end_in_any_way(ended: str) -> None:
    study = optuna.create_study(direction="maximize")
    source = source_of(study, RandomSampler(seed=0))
    paused = asked(source)
    source.pause(paused)
    paused.best = 0.5
    source.tell(paused, ended, 3)
    state = TrialState.COMPLETE if ended == "finished" else TrialState.PRUNED
    assert study.trials[0].state == state


def asked_after(judged: str) -> list[float]:
    """Return what TPE asks after 30 trials that were `paused`, `stopped` or still run."""
    study = optuna.create_study(direction="maximize")
    source = source_of(study, TPESampler(seed=0, multivariate=True))
    for _ in range(30):
        proposal = asked(source)
        source.report(proposal, 1, -abs(proposal.values["x"] - _BEST))
        if judged == "paused":
            source.pause(proposal)
        elif judged == "stopped":
            source.tell(proposal, "stopped", 1)
    return [asked(source).values["x"] for _ in range(20)]


def test_tpe_learns_from_paused_trials_as_from_stopped_ones() -> None:
    assert asked_after("paused") == asked_after("stopped") != asked_after("running")


def refusing(*numbers: int) -> Callable[[Any], Proposal]:
    """Return what proposes all trials but those of some numbers."""

    def propose_or_refuse(trial: Any) -> Proposal:
        made = propose(trial)
        if trial.number in numbers:
            raise UserError("stages.0.groups: matches nothing")
        return made

    return propose_or_refuse


def test_a_trial_that_cannot_be_has_failed_and_the_others_come() -> None:
    study, told = optuna.create_study(), list[tuple[str, list[str], str]]()
    source = OptunaSource(
        study,
        refusing(1),
        num_trials=3,
        sampler=lambda number: RandomSampler(seed=number),
        refused=lambda name, values, why: told.append((name, list(values), why)),
    )
    names = [proposal.name for proposal in iter(source.next, None)]
    states = [trial.state for trial in study.trials]
    assert names == ["0000", "0002"]
    assert states == [TrialState.RUNNING, TrialState.FAIL, TrialState.RUNNING]
    assert told == [("0001", ["x"], "stages.0.groups: matches nothing")]


def test_where_no_trial_can_be_the_source_comes_to_its_end() -> None:
    study = optuna.create_study()
    source = OptunaSource(
        study, refusing(*range(9)), num_trials=3, sampler=lambda number: RandomSampler()
    )
    assert source.next() is None
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 3


def test_a_search_goes_on_without_a_trial_that_cannot_be(tmp_path: Path) -> None:
    study, table = optuna.create_study(), Table("val_accuracy", "max")
    study.ask(), study.ask()
    source = OptunaSource(
        study,
        refusing(1),
        num_trials=2,
        sampler=lambda number: RandomSampler(seed=number),
        refused=table.refuse,
    )
    facts = {"metric": "val_accuracy", "mode": "max", "options": {}}
    (tmp_path / "search.json").write_text(json.dumps(facts))
    (tmp_path / "trials.csv").write_text("trial,status\n")
    assert [proposal.name for proposal in take_up(study, source, tmp_path, table)] == ["0000"]
    assert (table.rows["0001"].status, source.next()) == ("failed", None)
