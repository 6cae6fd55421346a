"""What Tune calls as a search goes on: the table, the files of each trial, the view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune import Callback

from thaw.budgeting import StoreBudget
from thaw.results import SCHEDULE, Journal, Row, Table
from thaw.view import View
from trainables.slot import TRIAL, Assignment


class Bookkeeper(Callback):
    """Keeps `trials.csv` and each trial's `schedule.yaml`, and the view fresh."""

    def __init__(
        self,
        table: Table,
        view: View,
        folder: Path,
        scheduler: str,
        budget: StoreBudget | None = None,
    ) -> None:
        """Write to `folder`; `scheduler` is named in the reasons for an early end."""
        self._table = table
        self._view = view
        self._folder = folder
        self._scheduler = scheduler
        self._journal = Journal(folder)
        self._budget = budget

    def __getstate__(self) -> dict[str, Any]:
        """Hand nothing to the pickle that Tune writes: a search goes on by replay, not from it."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open the trial's row and write its schedule; a retry keeps its row."""
        if trial.trial_id in self._table.rows:
            return
        assignment: Assignment = trial.config[TRIAL]
        values = {name: value for name, value in trial.config.items() if name != TRIAL}
        name = Path(trial.local_path).name
        self._table.rows[trial.trial_id] = Row(assignment.name, values, folder=name)
        path = self._folder / name / SCHEDULE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(assignment.spec.yaml(), encoding="utf-8")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take in the result of a segment."""
        row = self._table.rows[trial.trial_id]
        trained = self._journal.trained(row.trial, result["key"], reused=result["reused"])
        row.update(result, self._table.metric, self._table.mode, trained=trained)
        if self._budget is not None:
            self._budget.segment(result["key"])
        self._view.refresh()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note why the trial ended."""
        row = self._table.rows[trial.trial_id]
        ended = trial.last_result.get("ended", "")
        row.status = ended or "stopped"
        row.ended = ended
        if row.status == "stopped":
            row.ended = f"stopped by {self._scheduler} at epoch {row.epochs}"
        self._table.write(self._folder)
        self._view.refresh()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note what went wrong."""
        row = self._table.rows[trial.trial_id]
        row.status = "failed"
        row.ended = f"failed: {_last_line(trial.error_file)}"
        self._table.write(self._folder)
        self._view.refresh()


def _last_line(error_file: str | None) -> str:
    """Return the last line of Tune's error file: the exception with its message."""
    if error_file is None:
        return "see Tune's log"
    try:
        lines = Path(error_file).read_text(encoding="utf-8").strip().splitlines()
    except OSError:
        return f"see {error_file}"
    return lines[-1] if lines else f"see {error_file}"
