"""A search whose store is in trouble comes to a halt, whoever meets the trouble first."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.error import TuneError
from ray.tune.schedulers import FIFOScheduler
from rich.console import Console

from tests.thaw.helpers import FACTS, spec
from thaw import running
from thaw.callbacks import Bookkeeper, Halt
from thaw.results import Row, Table
from thaw.running import Run, run_trials
from thaw.view import View
from trainables.pool import Workers
from trainables.slot import TRIAL, Assignment
from training.store import Store
from training.trouble import StoreFull, StoreLost

LOST = "store 's3://b/x': AWS Error ACCESS_DENIED during PutObject operation: Access Denied"


def console() -> Console:
    return Console(file=io.StringIO(), width=120)


def keeper_and_trial(tmp_path: Path, last_line: str) -> tuple[Bookkeeper, Table, Any]:
    table = Table("val_accuracy", "max")
    table.rows["0000"] = Row("0000", {})
    view = View(console(), table, num_trials=1, title="x")
    error = tmp_path / "error.txt"
    error.write_text(f"Failure # 1\nTraceback\n  line\n{last_line}\n")
    trial = SimpleNamespace(
        config={TRIAL: SimpleNamespace(name="0000")},
        error_file=str(error),
        last_result={},
        run_metadata=SimpleNamespace(),
    )
    return Bookkeeper(table, view, tmp_path, "ASHA"), table, trial


@pytest.mark.parametrize(
    "last_line",
    [
        f"RuntimeError: StoreLost: {LOST}",  # the workers met it
        f"training.trouble.StoreLost: {LOST}",  # the slot did
        f"training.trouble.StoreFull: {LOST}",
    ],
)
def test_trouble_that_a_trial_meets_halts_the_search(last_line: str, tmp_path: Path) -> None:
    keeper, table, trial = keeper_and_trial(tmp_path, last_line)
    stop = Halt(table)
    assert not stop.stop_all()
    keeper.on_trial_recover(0, [], trial)
    assert stop.stop_all()
    assert table.halted == LOST
    keeper.on_trial_error(0, [], trial)
    keeper.on_trial_complete(0, [], trial)
    assert table.rows["0000"].status == "running", "it goes on some day: it has not failed"


def test_any_other_error_is_the_trials_own(tmp_path: Path) -> None:
    keeper, table, trial = keeper_and_trial(tmp_path, "RuntimeError: no such gradient")
    keeper.on_trial_recover(0, [], trial)
    assert table.halted == ""
    keeper.on_trial_error(0, [], trial)
    assert table.rows["0000"].status == "failed"


def test_a_trial_whose_slot_is_lost_before_it_begins_has_a_row(tmp_path: Path) -> None:
    keeper, table, trial = keeper_and_trial(tmp_path, "ActorDiedError: the node was lost")
    table.rows.clear()
    trial.config = {TRIAL: Assignment("0000", spec(1e-3), FACTS), "lr": 1e-3}
    trial.local_path = str(tmp_path / "0000")
    keeper.on_trial_recover(0, [], trial)
    keeper.on_trial_error(0, [], trial)
    assert (table.rows["0000"].status, table.rows["0000"].values) == ("failed", {"lr": 1e-3})


def test_a_retry_that_only_replays_is_no_progress(tmp_path: Path) -> None:
    keeper, _, trial = keeper_and_trial(tmp_path, "RuntimeError: no such gradient")
    trial.config = {TRIAL: Assignment("0000", spec(1e-3), FACTS)}
    result = {
        **{"segment": 1, "epoch": 1, "key": "a", "event": "", "device_s": 1.0, "cost_s": 1.0},
        **{"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5},
    }
    failures = []
    for reused in (False, True):
        trial.run_metadata.num_failures = 3
        keeper.on_trial_result(0, [], trial, {**result, "reused": reused})
        failures.append(trial.run_metadata.num_failures)
    assert failures == [0, 3]


def run(tmp_path: Path) -> Run:
    store = str(tmp_path / "store")
    return Run(
        folder=tmp_path,
        title="x",
        num_trials=1,
        store=Store(store),
        workers=Workers(store=store),
        slots=1,
        scheduler=FIFOScheduler(),
        scheduler_name="none",
    )


def tune_that_meets(trouble: Exception) -> Any:
    """Raise as Tune does where a callback or the searcher raised: a text, with the cause behind."""

    def tune(run: Run, table: Table, *_: Any) -> None:
        table.rows["0000"] = Row("0000", {})
        try:
            raise trouble
        except type(trouble):
            raise TuneError("Traceback (most recent call last): ...")  # noqa: B904

    return tune


@pytest.mark.parametrize("trouble", [StoreLost(LOST), StoreFull(LOST)])
def test_trouble_that_the_driver_meets_halts_the_search(
    trouble: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_tune", tune_that_meets(trouble))
    table = Table("val_accuracy", "max")
    run_trials(run(tmp_path), SimpleNamespace(), table, console())  # type: ignore[arg-type]
    assert table.halted == LOST
    assert table.rows["0000"].status == "interrupted"
    assert '"halted": "store' in (tmp_path / "search.log").read_text().splitlines()[-1]


def test_any_other_error_of_the_driver_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_tune", tune_that_meets(ValueError("ours")))
    with pytest.raises(TuneError):
        run_trials(run(tmp_path), SimpleNamespace(), Table("a", "max"), console())  # type: ignore[arg-type]
