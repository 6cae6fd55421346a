"""The searcher: what it holds back, when it lets go, and what it tells Optuna."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.thaw.helpers import FACTS, publish, spec
from thaw.asking import OptunaSource
from thaw.budgeting import StoreBudget
from thaw.results import Table
from thaw.searcher import ScheduleSearcher
from thaw.trials import Proposal
from trainables.slot import TRIAL, Assignment
from training.leases import leased
from training.schedule import Schedule
from training.store import Store
from training.walk import foresee


def propose(trial: optuna.Trial | optuna.trial.FrozenTrial) -> Proposal:
    """Two epochs of the head, which trials of one `head_lr` share, then two of everything."""
    values = {
        "head_lr": trial.suggest_float("head_lr", 1e-3, 1e-1),
        "full_lr": trial.suggest_float("full_lr", 1e-3, 1e-1),
    }
    trial_spec = spec(values["full_lr"], head_lr=values["head_lr"])
    assignment = Assignment(f"{trial.number:04}", trial_spec, FACTS)
    keys = foresee(trial_spec.schedule, FACTS)
    return Proposal(values=values, assignment=assignment, keys=keys)


class Search:
    """A searcher over trials whose (head_lr, full_lr) are given, and a real store."""

    def __init__(
        self,
        folder: Path,
        *trials: tuple[float, float],
        num_trials: int | None = None,
        num_slots: int = 2,
        direction: str = "maximize",
    ) -> None:
        self.store = Store(str(folder / "store"))
        self.study = optuna.create_study(
            storage=f"sqlite:///{folder / 'optuna.db'}",
            direction=direction,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        for head_lr, full_lr in trials:
            self.study.enqueue_trial({"head_lr": head_lr, "full_lr": full_lr})
        self.source = OptunaSource(
            self.study,
            propose,
            num_trials=len(trials) if num_trials is None else num_trials,
            sampler=lambda number: optuna.samplers.RandomSampler(seed=number),
        )
        self.searcher = ScheduleSearcher(
            self.source,
            store=self.store,
            metric="val_accuracy",
            mode="max" if direction == "maximize" else "min",
            num_slots=num_slots,
        )

    def suggest(self, trial_id: str) -> str | None:
        """Return the name of the trial that may start."""
        config = self.searcher.suggest(trial_id)
        return config[TRIAL].name if isinstance(config, dict) else config

    def schedule(self, number: int) -> Schedule:
        params = self.told(number).params
        return spec(params["full_lr"], head_lr=params["head_lr"]).schedule

    def publish(self, number: int, segments: int) -> None:
        """Put the first segments of a trial into the store."""
        publish(self.store, self.schedule(number), segments)

    def missing(self, number: int) -> list[str]:
        """Return the keys of a trial that are not in the store."""
        keys = foresee(self.schedule(number), FACTS)
        return [key for key in keys if self.store.record(key) is None]

    def told(self, number: int = 0) -> optuna.trial.FrozenTrial:
        """Return what Optuna knows of a trial."""
        return self.study.trials[number]


def result(value: float, epoch: int, ended: str = "") -> dict[str, Any]:
    return {
        "val_accuracy": value,
        "epoch": epoch,
        "segment": epoch,
        "cost_s": 2.0 * epoch,
        "ended": ended,
    }


def end(search: Search, *values: float, ended: str = "") -> None:
    """Run the first trial over `values` and end it as Tune does: the last result comes twice."""
    assert search.suggest("a") == "0000"
    for epoch, value in enumerate(values, 1):
        last = result(value, epoch, ended if epoch == len(values) else "")
        search.searcher.on_trial_result("a", last)
    search.searcher.on_trial_complete("a", last)


def test_a_suggestion_holds_the_values_and_what_a_slot_must_do(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02))
    config = search.searcher.suggest("a")
    assert isinstance(config, dict)
    assert {name: config[name] for name in ("head_lr", "full_lr")} == {
        "head_lr": 0.01,
        "full_lr": 0.02,
    }
    assert config[TRIAL].spec == spec(0.02, head_lr=0.01)


def test_a_trial_whose_next_segment_is_being_trained_is_held_back(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02), (0.01, 0.03))
    assert (search.suggest("a"), search.suggest("b")) == ("0000", None)


def test_another_trial_starts_in_its_place(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02), (0.01, 0.03), (0.05, 0.02))
    assert (search.suggest("a"), search.suggest("b")) == ("0000", "0002")


def test_it_starts_when_all_it_shares_is_in_the_store(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02), (0.01, 0.03))
    search.suggest("a")
    search.publish(0, 1)
    assert search.suggest("b") is None, "the second shared segment is still to be trained"
    search.publish(0, 2)
    assert search.suggest("b") == "0001"


@pytest.mark.parametrize("error", [False, True])
def test_it_starts_when_the_other_trial_has_ended(tmp_path: Path, error: bool) -> None:
    search = Search(tmp_path, (0.01, 0.02), (0.01, 0.03))
    search.suggest("a")
    search.suggest("b")
    search.searcher.on_trial_complete("a", result(0.5, 1), error=error)
    assert search.suggest("b") == "0001"


def test_what_was_held_back_longest_starts_first(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02), (0.01, 0.03), (0.01, 0.04))
    search.suggest("a")
    search.suggest("b")
    search.publish(0, 2)
    assert (search.suggest("b"), search.suggest("c")) == ("0001", "0002")


def test_equal_trials_run_one_after_the_other(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02), (0.01, 0.02))
    search.suggest("a")
    search.publish(0, 3)
    assert search.suggest("b") is None, "the fourth segment is still to be trained"
    search.publish(0, 4)
    assert search.suggest("b") == "0001"


def test_what_is_all_in_the_store_starts_at_once(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02), (0.01, 0.02))
    publish(search.store, spec(0.02, head_lr=0.01).schedule, 4)
    assert (search.suggest("a"), search.suggest("b")) == ("0000", "0001")


def test_no_more_than_the_number_of_trials_are_asked_for(tmp_path: Path) -> None:
    search = Search(tmp_path, num_trials=3)
    names = [search.suggest(trial_id) for trial_id in "abcde"]
    assert names == ["0000", "0001", "0002", None, None]
    assert len(search.study.trials) == 3


def test_at_most_two_are_held_back_for_each_slot(tmp_path: Path) -> None:
    search = Search(tmp_path, *[(0.01, 0.01 + 0.001 * n) for n in range(12)], num_slots=2)
    names = [search.suggest(trial_id) for trial_id in "abc"]
    assert names == ["0000", None, None]
    asked = [trial for trial in search.study.trials if trial.state == TrialState.RUNNING]
    assert len(asked) == 1 + 4, "one runs, four are held back"


def test_no_two_running_trials_ever_train_one_segment(tmp_path: Path) -> None:
    trials = [(head, full) for full in (0.02, 0.03, 0.04) for head in (0.01, 0.05)]
    search = Search(tmp_path, *trials, num_slots=3)
    running: dict[str, int] = {}
    done: list[int] = []
    for _ in range(30):
        for slot in "abc":
            name = None if slot in running else search.suggest(slot)
            if name not in (None, "FINISHED"):
                running[slot] = int(name)
        missing = {slot: search.missing(number) for slot, number in running.items()}
        wanted = [keys[0] for keys in missing.values() if keys]
        assert len(set(wanted)) == len(wanted), f"two of the trials {running} train one segment"
        for slot, number in list(running.items()):
            search.publish(number, 4 - max(0, len(missing[slot]) - 1))
            if len(missing[slot]) <= 1:
                search.searcher.on_trial_complete(slot, result(0.5, 4, "finished"))
                done.append(number)
                del running[slot]
    assert sorted(done) == list(range(len(trials)))


@pytest.mark.parametrize(("direction", "best"), [("maximize", 0.9), ("minimize", 0.5)])
def test_a_finished_trial_is_complete_with_its_best_value(
    tmp_path: Path, direction: str, best: float
) -> None:
    search = Search(tmp_path, (0.01, 0.02), direction=direction)
    end(search, 0.5, 0.9, 0.7, ended="finished")
    assert (search.told().state, search.told().value) == (TrialState.COMPLETE, best)


def test_a_stopped_trial_is_pruned_with_its_intermediate_values(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02))
    end(search, 0.5, 0.9, 0.7)
    assert search.told().state == TrialState.PRUNED
    assert search.told().intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7}


def test_a_trial_that_is_stopped_while_it_waits_is_pruned(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02))
    search.suggest("a")
    search.publish(0, 4)
    search.searcher.on_trial_result("a", result(0.5, 1))
    search.searcher.on_trial_result("a", result(0.6, 2))
    search.searcher.on_trial_complete("a")
    told = search.told()
    assert (told.state, told.user_attrs.get("segments")) == (TrialState.PRUNED, 2)


def test_a_diverged_trial_is_pruned_with_what_it_had(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02))
    end(search, 0.5, math.nan, ended="diverged")
    assert search.told().state == TrialState.PRUNED
    assert search.told().intermediate_values == {1: 0.5}


def test_a_trial_that_diverged_before_any_value_is_pruned(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02))
    end(search, math.nan, ended="diverged")
    assert search.told().state == TrialState.PRUNED


def test_a_replayed_trial_comes_first_and_is_not_told_again(tmp_path: Path) -> None:
    earlier = Search(tmp_path, (0.01, 0.02))
    end(earlier, 0.5, 0.9, 0.7, 0.6, ended="finished")
    proposal = replace(earlier.source.adopt(earlier.told()), told=True)
    again = ScheduleSearcher(
        earlier.source,
        store=earlier.store,
        metric="val_accuracy",
        mode="max",
        num_slots=1,
        resumed=[proposal],
    )
    config = again.suggest("b")
    assert isinstance(config, dict) and config[TRIAL].name == "0000"
    again.on_trial_complete("b", result(0.1, 4, "finished"))
    assert (earlier.told().state, earlier.told().value) == (TrialState.COMPLETE, 0.9)


def test_a_trial_that_broke_has_failed(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02))
    search.suggest("a")
    search.searcher.on_trial_result("a", result(0.5, 1))
    search.searcher.on_trial_complete("a", None, error=True)
    assert search.told().state == TrialState.FAIL


def test_segments_on_other_data_are_no_values(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02))
    search.suggest("a")
    search.searcher.on_trial_result("a", {**result(math.nan, 0), "segment": 1})
    search.searcher.on_trial_result("a", {**result(0.5, 1), "segment": 2})
    assert search.told().intermediate_values == {1: 0.5}


def test_a_retry_that_reports_an_epoch_again_changes_nothing(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02))
    search.suggest("a")
    for value, epoch in ((0.5, 1), (0.9, 2), (0.6, 1)):
        search.searcher.on_trial_result("a", result(value, epoch))
    assert search.told().intermediate_values == {1: 0.5, 2: 0.9}


def test_a_trial_that_is_not_ours_is_not_told(tmp_path: Path) -> None:
    search = Search(tmp_path, (0.01, 0.02))
    search.searcher.on_trial_complete("stranger", result(0.5, 1))
    assert [trial.state for trial in search.study.trials] == [TrialState.WAITING]


@pytest.mark.parametrize("num_bytes", [None, 10**9], ids=["no budget", "a budget"])
def test_what_running_trials_may_go_on_from_is_leased(
    num_bytes: int | None, tmp_path: Path
) -> None:
    search = Search(tmp_path, (0.01, 0.01))
    assert search.suggest("a") == "0000"
    budget = StoreBudget(search.store, num_bytes, search.searcher, Table("val_accuracy", "max"))
    keys = foresee(search.schedule(0), FACTS)
    budget.segment(keys[0])
    assert leased(search.store) == set(keys)
    budget.close()
    assert not leased(search.store)
