"""What Tune remembers of trials that ended: only what its results tables show."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback

from trainables.slot import TRIAL

_TOLD = "see schedule.yaml"


class Forgetting(Callback):
    """Frees most of an ended trial's memory, in the driver and in Tune's snapshots.

    Tune keeps each trial for the life of the search, with three copies of its configuration, every
    metric in two queues for running averages and with its extremes, and its last result a second
    time beside the checkpoint; and all of it once more as text since the last snapshot. Its
    schedule is in a file of its own, its results are with the loggers, which must be called before
    this.
    """

    def __init__(self, metric: str) -> None:
        """Keep the extremes and the mean of `metric`, by which Tune is asked for the best trial."""
        self._metric = metric

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Forget what nobody reads any more; the last result stays."""
        config = {**trial.config, TRIAL: _TOLD}
        trial.set_config(config)
        trial.evaluated_params = trial._Trial__unresolved_config = config
        told = trial.run_metadata
        if told.last_result:
            told.last_result["config"] = config
        told.metric_n_steps = {}
        told.metric_analysis = {
            name: found for name, found in told.metric_analysis.items() if name == self._metric
        }
        manager = told.checkpoint_manager
        for kept in (*manager._checkpoint_results, manager._latest_checkpoint_result):
            if kept is not None:
                kept.metrics = told.last_result
