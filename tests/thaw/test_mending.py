"""A trial outlives its slot, at whatever moment that dies."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from thaw.mending import Controller

DIED = RuntimeError("the slot died")


class Heard:
    """What a controller has where it hears of failures; the decision is its own."""

    def __init__(self) -> None:
        self._trial_to_actor: dict[Any, str] = {}
        self._resetting_trials: set[Any] = set()
        self._has_errored, self._iteration, self._trials = False, 0, list[Any]()
        self.told: list[str] = []
        silent = SimpleNamespace(
            on_trial_error=lambda *_, **__: None,
            on_trial_recover=lambda *_, **__: None,
            on_trial_complete=lambda *_, **__: None,
        )
        self._callbacks = self._scheduler_alg = self._search_alg = silent

    def fail(self, trial: Any, exception: Exception = DIED) -> None:
        decide: Any = self._process_trial_failure  # type: ignore[attr-defined]
        decide(trial, exception=exception)

    def _set_trial_status(self, trial: Any, status: str) -> None:
        trial.status = status

    def _try_recover(self, trial: Any, exc: Exception) -> None:
        self.told.append("retried")
        self._trial_to_actor.pop(trial, None)
        trial.status = Trial.PENDING

    def _schedule_trial_stop(self, trial: Any, exception: Exception) -> None:
        self.told.append("failed")
        trial.status = Trial.ERROR


MENDED: Any = type("Mended", (Heard, Controller), {})
UNMENDED: Any = type("Unmended", (Heard, TuneController), {})


class FakeTrial:
    """A trial that may fail four times."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.trial_id = "0000"
        self.run_metadata = SimpleNamespace(num_failures=0)

    def handle_error(self, exception: Exception) -> None:
        self.run_metadata.num_failures += 1

    @property
    def num_failures(self) -> int:
        num: int = self.run_metadata.num_failures
        return num

    def should_recover(self) -> bool:
        return self.num_failures <= 4


@pytest.fixture
def controller() -> Heard:
    made: Heard = MENDED()
    return made


def test_two_calls_to_one_dead_slot_are_one_failure(controller: Heard) -> None:
    trial = FakeTrial(Trial.RUNNING)
    controller._trial_to_actor[trial] = "slot"
    controller.fail(trial)
    controller.fail(trial)
    assert controller.told == ["retried"] and trial.num_failures == 1


def test_a_warm_slot_that_dies_as_it_gets_a_trial_costs_it_one_try(controller: Heard) -> None:
    trial = FakeTrial(Trial.PENDING)
    controller._trial_to_actor[trial] = "warm slot"
    controller._resetting_trials.add(trial)
    controller.fail(trial)
    assert controller.told == ["retried"] and trial.num_failures == 1
    assert not controller._resetting_trials, "else Tune never gives it a slot again"


def test_tries_are_counted(controller: Heard) -> None:
    trial = FakeTrial(Trial.PENDING)
    for _ in range(5):
        controller._trial_to_actor[trial] = "slot"
        controller.fail(trial)
    assert controller.told == ["retried"] * 4 + ["failed"]


def test_a_last_try_that_meets_trouble_with_the_store_is_not_the_last(controller: Heard) -> None:
    trial = FakeTrial(Trial.RUNNING)
    trial.run_metadata.num_failures = 4
    controller.fail(trial, RuntimeError("Traceback\nRuntimeError: StoreLost: store 's3://b/x'"))
    assert controller.told == ["retried"], "the search halts, and nobody is told that it failed"


def test_tune_itself_gives_such_trials_up() -> None:
    """Where this fails, Tune has learned it, and our controller can go."""
    unmended, trial = UNMENDED(), FakeTrial(Trial.RUNNING)
    unmended.fail(trial)
    unmended.fail(trial)
    assert unmended.told == ["retried", "failed"]
