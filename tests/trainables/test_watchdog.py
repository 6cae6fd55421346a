"""A process that hangs is named and killed; one that goes on, or has nothing to do, is not."""

import signal
import subprocess
import sys

CODE = """
import sys, time
from trainables.watchdog import Watchdog
from training.pulse import beat, beating

dog = Watchdog(4, lambda text: print(text, flush=True), name="worker 1")
time.sleep(5)  # nothing to do
with dog.watching():
    for _ in beating(range(50)):
        time.sleep(0.1)
    beat()
    print("went on", flush=True)
    if sys.argv[1] == "hang":
        time.sleep(60)
time.sleep(5)
"""


def run(how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, how], text=True, capture_output=True, timeout=60, check=False
    )


def test_it_names_and_kills_a_process_that_hangs() -> None:
    found = run("hang")
    assert found.returncode == -signal.SIGKILL, found.stderr
    first, named = found.stdout.splitlines()
    assert first == "went on"
    assert named.startswith("worker 1 hung: no step for 4 s")


def test_it_lets_go_on_who_goes_on() -> None:
    found = run("end")
    assert (found.returncode, found.stdout) == (0, "went on\n"), found.stderr
