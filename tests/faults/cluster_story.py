"""Two stories on a cluster of a head and two nodes, told as JSON; run in a process of its own.

    python -m tests.faults.cluster_story FOLDER lose_node|stop_and_resume

Ray's token mode and addresses are settings of a process: pytest's own stays as it is.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks._cluster import Machines, use_token, wait_for
from benchmarks._faulty_system import PACE

ROOT = Path(__file__).parents[2]
STUDY = "benchmarks/_faulty_system.py"
BIN = Path(sys.executable).parent
TRIALS = ("--trials", "3", "--scheduler", "none", "--sampler", "random", "--gpus-per-trial", "1")
_DONE = ("SUCCEEDED", "FAILED", "STOPPED")


def ray_job(*arguments: str) -> str:
    """Run the real `ray job`; return what it printed."""
    command = [str(BIN / "ray"), "job", *arguments]
    done = subprocess.run(command, text=True, capture_output=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


class Story:
    """The cluster, and jobs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.out = folder / "out"
        (folder / PACE).write_text("0.5")
        os.environ["PATH"] = f"{BIN}:{os.environ['PATH']}"  # of the job's entry point
        self.machines = Machines(folder, workers=2, cpus=1, gpus=1)

    def submit(self, name: str, *arguments: str) -> None:
        """Submit `thaw search`, as the documentation says."""
        variables = {
            "RAY_AUTH_MODE": "token",
            "RAY_JOB_STOP_SIGNAL": "SIGINT",
            "RAY_JOB_STOP_WAIT_TIME_S": "120",
        }
        ray_job(
            *("submit", "--no-wait", "--address", self.machines.jobs_url, "--working-dir", "."),
            *("--submission-id", name, "--runtime-env-json", json.dumps({"env_vars": variables})),
            *(
                "--",
                "thaw",
                "search",
                *arguments,
                "--address",
                self.machines.address,
            ),
        )

    def status(self, name: str) -> str:
        """Return what Ray says of a job."""
        said = ray_job("status", "--address", self.machines.jobs_url, name).upper()
        return next(word for word in (*_DONE, "RUNNING", "PENDING") if word in said)

    def end_of(self, name: str) -> str:
        """Wait for the end of a job; return how it ended."""
        wait_for(lambda: self.status(name) in _DONE, 300, f"the end of {name}")
        return self.status(name)

    def log(self, name: str) -> str:
        """Return what a job printed."""
        return ray_job("logs", "--address", self.machines.jobs_url, name)

    def records(self) -> int:
        """Return how many segments are in the store."""
        return len(list(self.store.glob("*/*/record.json")))

    def rows(self) -> list[dict[str, str]]:
        """Return what each trial came to, times left out."""
        with (self.out / "trials.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [{k: v for k, v in row.items() if k not in ("device_s", "cost_s")} for row in rows]

    def search(self) -> tuple[str, ...]:
        """Return the arguments of the search."""
        return (
            STUDY,
            *TRIALS,
            "--out",
            str(self.out),
            "--store",
            str(self.store),
            "--device",
            "cpu",
        )


def lose_node(story: Story) -> dict[str, Any]:
    """A node goes while the search trains on it."""
    story.submit("first", *story.search())
    wait_for(lambda: story.records() >= 4, 240, "four segments")
    story.machines.lose(story.machines.nodes[0])
    ended = story.end_of("first")
    return {"ended": ended, "rows": story.rows(), "log": story.log("first")}


def stop_and_resume(story: Story) -> dict[str, Any]:
    """The job is stopped; another goes on with the search."""
    story.submit("first", *story.search())
    wait_for(lambda: story.records() >= 4, 240, "four segments")
    ray_job("stop", "--address", story.machines.jobs_url, "first")
    stopped = {"ended": story.end_of("first"), "rows": story.rows(), "log": story.log("first")}
    (story.folder / PACE).unlink()
    story.submit("second", "--resume", str(story.out))
    ended = story.end_of("second")
    return {"stopped": stopped, "ended": ended, "rows": story.rows(), "log": story.log("second")}


def main() -> None:
    """Tell a story."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    use_token()
    story = Story(folder)
    try:
        told = {"lose_node": lose_node, "stop_and_resume": stop_and_resume}[name](story)
    except TimeoutError:
        print(story.log("first"), file=sys.stderr)
        raise
    finally:
        story.machines.stop()
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
