"""A search whose store is full comes to a halt, says so, and goes on when there is room."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.faults.full_system import FLAG
from tests.faults.processes import alive, wait_until
from tests.faults.test_interrupt import start
from thaw.results import read_search

FULL = str(Path(__file__).with_name("full_system.py"))


@pytest.mark.ray
def test_a_full_store_halts_the_search_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, store, flag = tmp_path / "out", tmp_path / "store", tmp_path / "full"
    monkeypatch.setenv(FLAG, str(flag))
    flag.touch()
    process, mark = start(
        *("search", FULL, "--trials", "2", "--max-concurrent", "1", "--scheduler", "none"),
        *("--out", str(out), "--store", str(store)),
    )
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 1, printed
    assert "no room for" in printed and f"thaw search --resume {out}" in printed
    wait_until(lambda: not alive(mark), 20, f"no process left, but there are {alive(mark)}")
    assert len(list(store.glob("*/*/record.json"))) == 1, "what was trained before it was full"
    assert {row["status"] for row in read_search(out)[1]} == {"interrupted"}
    flag.unlink()
    process, mark = start("search", "--resume", str(out))
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    rows = read_search(out)[1]
    assert [(row["status"], row["epochs"]) for row in rows] == [("finished", "2")] * 2
    assert sum(int(row["segments_trained"]) for row in rows) == 4
    told = optuna.load_study(study_name="full", storage=f"sqlite:///{out / 'optuna.db'}").trials
    assert [trial.state for trial in told] == [TrialState.COMPLETE] * 2
    wait_until(lambda: not alive(mark), 20, f"no process left, but there are {alive(mark)}")
