"""A search whose driver is killed goes on, and ends as one that was never killed."""

import contextlib
import csv
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.processes import alive, wait_until
from tests.faults.test_interrupt import start

OPTIONS = ("--trials", "4", "--max-concurrent", "1", "--set", "total_epochs=12")


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


@pytest.mark.ray
def test_a_killed_driver_goes_on_to_the_same_table(tmp_path: Path) -> None:
    calm, out, store = (tmp_path / name for name in ("calm", "killed", "store"))
    finish("search", "unfreeze_timing", *OPTIONS, "--out", str(calm), "--store", f"{store}-calm")
    arguments = ("search", "unfreeze_timing", *OPTIONS, "--out", str(out), "--store", str(store))
    process, mark = start(*arguments)
    wait_until(lambda: len(list(store.glob("*/*/record.json"))) >= 8, 120, "eight segments")
    time.sleep(random.Random(0).uniform(0, 2))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    for pid in alive(mark):  # nobody is left to end what Ray started
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    finish("search", "--resume", str(out))
    assert table(out) == table(calm)
