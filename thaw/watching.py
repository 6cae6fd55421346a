"""What a search tells those who watch it: metrics through Ray's own, and the lines of its log."""

from __future__ import annotations

import logging
import math
from typing import Any

from ray.tune import Callback
from ray.util.metrics import Counter, Gauge

from thaw.callbacks import last_line
from thaw.results import Row, Table
from thaw.search_log import log
from trainables.slot import TRIAL

STUDY = "study"
COUNTERS = {
    "thaw_segments_trained": "Segments that trials trained.",
    "thaw_segments_reused": "Segments that trials found in the store.",
    "thaw_device_seconds": "Device-seconds of the segments that were trained.",
    "thaw_trials_failed": "Trials that failed.",
}
GAUGES = {
    "thaw_trials_running": "Trials that run now.",
    "thaw_trials_waiting": "Trials that have not begun.",
    "thaw_best_metric": "Best value of the study's metric so far.",
}


class Watching(Callback):
    """Exports metrics and writes log lines as results come in; the table must have them already."""

    def __init__(self, table: Table, study: str, num_trials: int) -> None:
        """Tag the metrics with the `study`; `num_trials` will begin in all."""
        self._table = table
        self._num_trials = num_trials
        self._counted: dict[str, tuple[int, int, float]] = {}
        self._running: set[str] = set()
        self._counters = {
            name: Counter(name, what, (STUDY,)).set_default_tags({STUDY: study})
            for name, what in COUNTERS.items()
        }
        self._gauges = {
            name: Gauge(name, what, (STUDY,)).set_default_tags({STUDY: study})
            for name, what in GAUGES.items()
        }
        self._best = math.nan

    def __getstate__(self) -> dict[str, Any]:
        """Hand nothing to the pickle that Tune writes."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Log the values of a trial that begins, or goes on."""
        row = self._row(trial)
        again = row.trial in self._counted
        self._counted.setdefault(row.trial, (0, 0, 0.0))
        self._running.add(row.trial)
        log("trial goes on" if again else "trial began", trial=row.trial, **_named(row.values))
        self._show()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Count and log a segment."""
        row = self._row(trial)
        self._count(row)
        value = result[self._table.metric]
        better = value > self._best if self._table.mode == "max" else value < self._best
        if better or (math.isnan(self._best) and math.isfinite(value)):
            self._best = value
        log(
            "segment",
            trial=row.trial,
            segment=result["segment"],
            stage=result["stage"],
            epoch=result["epoch"],
            reused=result["reused"],
            device_s=result["device_s"],
            key=result["key"],
            **{self._table.metric: value},
            **({"decision": result["event"]} if result["event"] else {}),
        )
        if result["incidents"]:
            log("incident", level=logging.WARNING, trial=row.trial, what=result["incidents"])
        self._show()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Log why a trial ended."""
        self._end(self._row(trial), "trial ended")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Log and count a trial that failed."""
        row = self._row(trial)
        if row.status == "failed":
            self._counters["thaw_trials_failed"].inc(1)
        self._end(row, "trial failed")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Log that a trial is tried again, and after what."""
        name, why = trial.config[TRIAL].name, last_line(trial.error_file)
        log("trial is tried again", level=logging.WARNING, trial=name, why=why)

    def _row(self, trial: Any) -> Row:
        return self._table.rows[trial.config[TRIAL].name]

    def _count(self, row: Row) -> None:
        """Add what the row has more than when it was counted last."""
        now = (row.segments_trained, row.segments_reused, row.device_s)
        names = ("thaw_segments_trained", "thaw_segments_reused", "thaw_device_seconds")
        before = self._counted.get(row.trial, (0, 0, 0.0))
        for name, one, other in zip(names, now, before, strict=True):
            if one > other:  # a counter takes no 0
                self._counters[name].inc(one - other)
        self._counted[row.trial] = now

    def _end(self, row: Row, event: str) -> None:
        self._running.discard(row.trial)
        log(
            event,
            trial=row.trial,
            status=row.status,
            why=row.ended,
            best=row.best,
            segments_trained=row.segments_trained,
            segments_reused=row.segments_reused,
            device_s=row.device_s,
        )
        self._show()

    def _show(self) -> None:
        self._gauges["thaw_trials_running"].set(len(self._running))
        waiting = max(0, self._num_trials - len(self._table.rows))
        self._gauges["thaw_trials_waiting"].set(waiting)
        if math.isfinite(self._best):
            self._gauges["thaw_best_metric"].set(self._best)


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """Return a trial's values under names that no other field has."""
    return {f"value.{name}": value for name, value in values.items()}
