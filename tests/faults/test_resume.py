"""A search whose driver is killed goes on, and ends as one that was never killed."""

import contextlib
import csv
import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest

from tests.faults.processes import alive, wait_until
from tests.faults.test_interrupt import start

NUM_KILLS = int(os.environ.get("THAW_TEST_KILLS", "1"))
OPTIONS = ("--trials", str(3 + NUM_KILLS), "--max-concurrent", "1", "--set", "total_epochs=12")


def finish(*arguments: str) -> str:
    process, mark = start(*arguments)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    wait_until(lambda: not alive(mark), 20, f"no process left, but there are {alive(mark)}")
    return printed


def table(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open(newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("device_s", "cost_s")}
            for row in csv.DictReader(file)
        ]


def kill(process: subprocess.Popen[str], mark: str) -> None:
    """SIGKILL the driver, and then what Ray started: nobody is left to end it."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    for pid in alive(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.ray
@pytest.mark.timeout(300 + 120 * NUM_KILLS)
def test_a_killed_driver_goes_on_to_the_same_table(tmp_path: Path) -> None:
    """Kills come at random moments, from the first results on; `THAW_TEST_KILLS` says how many."""
    calm, out, store = (tmp_path / name for name in ("calm", "killed", "store"))
    finish("search", "unfreeze_timing", *OPTIONS, "--out", str(calm), "--store", f"{store}-calm")
    random = Random(NUM_KILLS)
    first = ("search", "unfreeze_timing", *OPTIONS, "--out", str(out), "--store", str(store))
    for number in range(NUM_KILLS):
        process, mark = start(*(("search", "--resume", str(out)) if number else first))
        before = len(list(store.glob("*/*/record.json")))
        wait_until(
            lambda before=before: len(list(store.glob("*/*/record.json"))) >= before + 3,
            180,
            "three more segments",
        )
        time.sleep(random.uniform(0, 2))
        kill(process, mark)
    finish("search", "--resume", str(out))
    assert table(out) == table(calm)
