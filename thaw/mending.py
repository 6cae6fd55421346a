"""What Tune 2.60 gets wrong about slots that serve one trial after the other, mended."""

from __future__ import annotations

from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from training.trouble import told_by


def mend(scheduler: TrialScheduler, num_slots: int) -> None:
    """Keep `num_slots` slots warm, and let a trial outlive its slot at any moment.

    Tune's controller is met when the scheduler hears of the first trial. It keeps one idle actor
    and ends the others when no trial is due at that moment: those that wait for a trunk, or for
    the next generation, would start their workers again.
    """
    add = scheduler.on_trial_add
    told: list[Any] = []

    def on_trial_add(controller: Any, trial: Any) -> None:
        if not told:
            told.append(trial)
            controller._actor_cache.increase_max(trial.placement_group_factory, num_slots)
            controller._tune_controller.__class__ = Controller
        add(controller, trial)

    scheduler.on_trial_add = on_trial_add  # type: ignore[method-assign,assignment]


class Controller(TuneController):
    """Tune's controller, which retries a trial whose slot died before it was running again.

    Tune's own retries running trials only, and fails one for good that waits: one that is given to
    a warm slot which dies in that moment, and one of which it hears twice, by two calls to the same
    dead slot. The first is retried like one whose slot could not be made; the second already is.
    Trouble with the store is no failure of the trial that meets it: at its last try too it is
    retried, which the search does not come to, since it halts.
    """

    def _process_trial_failure(self, trial: Trial, exception: Any) -> None:
        if trial.status == Trial.PENDING:
            if trial not in self._trial_to_actor:
                return
            self._resetting_trials.discard(trial)
            self._set_trial_status(trial, Trial.RUNNING)
        if _is_the_stores(exception):
            trial.run_metadata.num_failures = 0
        super()._process_trial_failure(trial, exception=exception)


def _is_the_stores(exception: Any) -> bool:
    """Tell of an exception what `Bookkeeper` tells by the last line of a trial's error file."""
    lines = str(exception).strip().splitlines()
    return bool(lines and told_by(lines[-1]))
