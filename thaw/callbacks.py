"""What Tune calls as a search goes on: the table, the files of each trial, the view."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper

from thaw.budgeting import StoreBudget
from thaw.results import SCHEDULE, Journal, Row, Table
from thaw.view import View
from thaw.watch import Watch, watch_of
from thaw.worth import REASON, Worth
from trainables.slot import TRIAL, Assignment
from training.trouble import told_by


class Bookkeeper(Callback):
    """Keeps `trials.csv` and each trial's `schedule.yaml`, and the view fresh."""

    def __init__(
        self,
        table: Table,
        view: View,
        folder: Path,
        scheduler: str,
        worth: Worth | None = None,
    ) -> None:
        """Write to `folder`; `scheduler` or `worth` are named in the reasons for an early end."""
        self._table = table
        self._view = view
        self._folder = folder
        self._scheduler = scheduler
        self._worth = worth
        self._journal = Journal(folder)
        self.budget: StoreBudget | None = None
        self._staged: dict[str, Path] = {}
        self._watches: dict[str, Watch] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Hand nothing to the pickle that Tune writes: a search goes on by replay, not from it."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open the trial's row and write its schedule; a retry or a promotion keeps its row."""
        assignment: Assignment = trial.config[TRIAL]
        values = {name: value for name, value in trial.config.items() if name != TRIAL}
        self._staged[assignment.name] = Path(trial.local_path)
        folder = Path(trial.local_path).name
        row = self._table.rows.setdefault(
            assignment.name, Row(assignment.name, values, folder=folder)
        )
        fork = assignment.spec.schedule.fork
        if fork is not None and row.values != values:
            row.fork(values, fork.at)
        row.status, row.ended = "running", ""
        path = self._folder / folder / SCHEDULE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(assignment.spec.yaml(), encoding="utf-8")

    def restart(self, name: str) -> None:
        """Remove the files of a trial that starts again, here and where Tune stages them."""
        for folder in (self._staged[name], self._folder / self._staged[name].name):
            shutil.rmtree(folder, ignore_errors=True)

    def given(self, name: str, key: str) -> None:
        """Note a segment that was trained for a trial which waits, beside another one."""
        self._journal.given(name, key)
        self._table.unvisited = self._journal.num_given

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take in the result of a segment."""
        row = self._row(trial)
        trained = self._journal.trained(row.trial, result["key"], reused=result["reused"])
        before = row.segments
        row.update(result, self._table.metric, self._table.mode, trained=trained)
        self._table.unvisited = self._journal.num_given
        if trained and row.segments > before:
            trial.run_metadata.num_failures = 0  # retries are for those that get no further
        watch = self._watches.setdefault(row.trial, watch_of(trial.config[TRIAL].spec))
        watch.take(result["epoch"], result)
        row.monitor = watch.says()
        if self.budget is not None:
            self.budget.segment(result["key"])
        self._view.refresh()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note why the trial ended."""
        row = self._row(trial)
        ended = trial.last_result.get("ended", "")
        if self._table.halted and not ended:
            return  # it is neither finished nor stopped: it goes on some day
        self._watches.pop(row.trial, None)
        row.status = ended or "stopped"
        row.ended = ended
        if row.status == "stopped":
            gain = self._worth is not None and row.trial in self._worth.stopped
            who = REASON if gain else self._scheduler
            row.ended = f"stopped by {who} at epoch {row.epochs}"
        self._table.write_soon(self._folder)
        self._view.refresh()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note what went wrong."""
        row = self._row(trial)
        reason = last_line(trial.error_file)
        if not self._halts(reason):
            row.status = "failed"
            row.ended = f"failed: {reason}"
        self._table.write(self._folder)
        self._view.refresh()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Come to a halt at once where the store is in trouble: another try would end alike."""
        self._halts(last_line(trial.error_file))

    def _halts(self, reason: str) -> bool:
        self._table.halted = self._table.halted or told_by(reason)
        return bool(self._table.halted)

    def _row(self, trial: Any) -> Row:
        """Return the trial's row; one whose slot was lost before it began gets it now."""
        name = trial.config[TRIAL].name
        if name not in self._table.rows:
            self.on_trial_start(0, [], trial)
        return self._table.rows[name]


class Parting(Callback):
    """Lets a trial that is tried again go on alone: fellows that were let go may run by now."""

    def __init__(self, part: Callable[[str], None]) -> None:
        """Call `part` with the id of such a trial."""
        self._part = part

    def __getstate__(self) -> dict[str, Any]:
        """Hand nothing to the pickle that Tune writes."""
        return {}

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Take its fellows from what its next slot is told."""
        trial.set_config({**trial.config, TRIAL: replace(trial.config[TRIAL], fellows=())})
        self._part(trial.trial_id)


class Halt(Stopper):
    """Stops all trials when the table says that the search came to a halt."""

    def __init__(self, table: Table) -> None:
        """Look at `table`."""
        self._table = table

    def __getstate__(self) -> dict[str, Any]:
        """Hand nothing to the pickle that Tune writes."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial."""
        return False

    def stop_all(self) -> bool:
        """Tell whether the search came to a halt."""
        return bool(self._table.halted)


def last_line(error_file: str | None) -> str:
    """Return the last line of Tune's `error_file` of a trial: an exception with its message."""
    if error_file is None:
        return "see Tune's log"
    try:
        lines = Path(error_file).read_text(encoding="utf-8").strip().splitlines()
    except OSError:
        return f"see {error_file}"
    return lines[-1] if lines else f"see {error_file}"
