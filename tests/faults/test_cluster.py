"""A search by `ray job submit` on three nodes with a token: a node is lost, a job is stopped.

`benchmarks.faults` injects many more faults of more kinds.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray._private.ray_constants import ENABLE_RAY_CLUSTERS_ENV_VAR

from benchmarks._cluster import MARK, processes
from benchmarks._faulty_system import ENDED
from tests.faults.cluster_story import ROOT, STUDY, TRIALS

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The same search on one node, in order."""
    folder = tmp_path_factory.mktemp("calm")
    command = [str(Path(sys.executable).with_name("thaw")), "search", STUDY, *TRIALS[:-2]]
    done = subprocess.run(
        [*command, "--out", str(folder / "out"), "--store", str(folder / "store")],
        env={**os.environ, MARK: str(folder)},
        text=True,
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with (folder / "out" / "trials.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tell(folder: Path, name: str) -> dict[str, Any]:
    """Run a story on a cluster of its own, whether or not other tests have Ray up here."""
    theirs = ("RAY_ADDRESS", "RAY_GCS_SERVER_PORT", ENABLE_RAY_CLUSTERS_ENV_VAR)
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.cluster_story", str(folder), name],
        env={name: value for name, value in os.environ.items() if name not in theirs},
        text=True,
        capture_output=True,
        cwd=ROOT,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert not processes(folder), "processes were left behind"
    told: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return told


def came_to(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    columns = ("trial", "status", "best_val_accuracy", "last_val_accuracy", "epochs", "lr")
    return sorted(tuple(row[column] for column in columns) for row in rows)


def test_a_job_that_loses_a_node_ends_with_the_table_of_one_node(
    tmp_path: Path, calm: list[dict[str, str]]
) -> None:
    told = tell(tmp_path, "lose_node")
    assert told["ended"] == "SUCCEEDED", told["log"]
    assert came_to(told["rows"]) == came_to(calm)


def test_a_job_that_is_stopped_saves_and_goes_on(
    tmp_path: Path, calm: list[dict[str, str]]
) -> None:
    told = tell(tmp_path, "stop_and_resume")
    stopped = told["stopped"]
    assert stopped["ended"] == "STOPPED", stopped["log"]
    assert "interrupted" in {row["status"] for row in stopped["rows"]}, stopped["log"]
    assert "--resume" in stopped["log"]
    assert told["ended"] == "SUCCEEDED", told["log"]
    assert came_to(told["rows"]) == came_to(calm)
    trained = sum(int(row["segments_trained"]) for row in calm)
    ended = len((tmp_path / ENDED).read_text().splitlines())
    assert ended <= trained + 1, "but for the one under way, it goes on from the store"
