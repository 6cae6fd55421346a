"""A search from the command line leaves no process behind, however it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.processes import alive, marked_environment, wait_until
from thaw.results import read_search

BROKEN = str(Path(__file__).with_name("broken_system.py"))


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    environment, mark = marked_environment()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("thaw")), *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return process, mark


@pytest.mark.ray
def test_ctrl_c_ends_in_order_and_loses_no_segment(tmp_path: Path) -> None:
    out, store = tmp_path / "out", tmp_path / "store"
    process, mark = start("search", "unfreeze_timing", "--out", str(out), "--store", str(store))
    wait_until(lambda: len(list(store.glob("*/*/record.json"))) >= 3, 120, "three segments")
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "interrupted" in printed
    wait_until(lambda: not alive(mark), 10, f"no process left, but there are {alive(mark)}")
    _, rows = read_search(out)
    assert [row["status"] for row in rows if row["segments_trained"] != "0"] == ["interrupted"]
    records = len(list(store.glob("*/*/record.json")))
    again = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("thaw")), "search", "unfreeze_timing"),
            *("--trials", "1", "--out", str(tmp_path / "again"), "--store", str(store)),
        ],
        text=True,
        capture_output=True,
        check=True,
    )
    _, rows = read_search(tmp_path / "again")
    assert int(rows[0]["segments_reused"]) == records, again.stdout


@pytest.mark.ray
def test_trials_that_fail_or_diverge_end_as_such_and_leave_no_process(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process, mark = start(
        "search", BROKEN, "--trials", "3", "--out", str(out), "--store", str(tmp_path / "store")
    )
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    wait_until(lambda: not alive(mark), 10, f"no process left, but there are {alive(mark)}")
    _, rows = read_search(out)
    ended = {float(row["lr"]): row["status"] for row in rows}
    assert ended == {1.0: "failed", 0.1: "diverged", 0.001: "finished"}, printed
    reason = next(row["ended"] for row in rows if row["status"] == "failed")
    assert "no such gradient" in reason
