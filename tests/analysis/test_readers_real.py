"""Real logs of others, where they are at hand: runs and points counted against what the files hold.

Set THAW_REAL_LOGS to the folder of such a collection. The counts here use nothing of the readers.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.logs import Logs, read_logs

LOGS = Path(os.environ.get("THAW_REAL_LOGS", "no folder is named"))
pytestmark = pytest.mark.skipif(
    not (LOGS / "pythia_evals").is_dir(), reason="THAW_REAL_LOGS names no collection of real logs"
)
MM_AXES = {"mode", "epoch", "iter", "step", "time", "data_time", "memory"}
TUNE_AXES = {
    "training_iteration", "timesteps_total", "time_total_s", "time_this_iter_s", "timestamp", "pid",
    "time_since_restore", "timesteps_since_restore", "timesteps_this_iter",
    "iterations_since_restore", "config",
}  # fmt: skip
ALGOPERF_AXES = {
    "global_step", "accumulated_submission_time", "accumulated_eval_time", "total_duration",
    "accumulated_logging_time", "preemption_count", "score",
}  # fmt: skip


@pytest.fixture(scope="module")
def logs() -> Logs:
    return read_logs([LOGS])


def table_cells(path: Path, axes: set[str]) -> int:
    """Count the numbers in the columns of a table that are no axes."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    names = [name.strip() for name in header]
    return sum(
        bool(cell.strip())
        for row in rows
        for name, cell in zip(names, row, strict=True)
        if name not in axes
    )


def leaves(item: Any, axes: set[str]) -> Iterator[float]:
    """Yield the numbers in nested objects."""
    for name, value in item.items():
        if isinstance(value, dict) and name not in axes:
            yield from leaves(value, set())
        elif isinstance(value, int | float) and not isinstance(value, bool) and name not in axes:
            yield value


def mm_points(path: Path) -> int:
    """Count training and validation values; the learning rate counts in training rows only."""
    count = 0
    for line in path.read_text().splitlines():
        item = json.loads(line)
        val = item.get("mode") == "val"
        for name, value in item.items():
            unmeasured = value == -1 and "A" in name
            number = isinstance(value, float | int) and name not in MM_AXES | {"seed"}
            count += number and not unmeasured and not (val and name == "lr")
    return count


def expected() -> dict[str, tuple[int, int]]:
    """Return folder -> runs and points, counted without the readers."""
    algoperf = sorted(LOGS.glob("algoperf/**/*.csv"))
    power = sorted(LOGS.glob("multipowerlaw/**/*.csv"))
    lcdb = [json.loads(path.read_text()) for path in sorted(LOGS.glob("lcdb11/[0-9]*.json"))]
    pythia = [json.loads(path.read_text()) for path in LOGS.glob("pythia_evals/*/*.json")]
    (tune,) = LOGS.glob("ray_rl/**/result.json")
    mm = {name: sorted(LOGS.glob(f"{name}/**/*.json")) for name in ("mm_duanbo", "mm_lyc686")}
    svt = [json.loads(line) for line in (LOGS / "twins/svt_s.txt").read_text().splitlines()]
    return {
        "algoperf": (len(algoperf), sum(table_cells(path, ALGOPERF_AXES) for path in algoperf)),
        "lane_seg": (1, table_cells(LOGS / "lane_seg/training_losses.csv", {"Epoch"})),
        "lcdb11": (
            sum(len(learners) for learners in lcdb),
            sum(json.dumps(learners).replace("null", "").count(".") for learners in lcdb),
        ),
        **{name: (len(paths), sum(map(mm_points, paths))) for name, paths in mm.items()},
        "multipowerlaw": (len(power), sum(table_cells(path, {"step"}) for path in power)),
        "pythia_evals": (1, sum(len(list(leaves(item["results"], set()))) for item in pythia)),
        "ray_rl": (
            1,
            sum(
                len(list(leaves(json.loads(line), TUNE_AXES)))
                for line in tune.read_text().splitlines()
            ),
        ),
        "twins": (
            2,
            mm_points(LOGS / "twins/upernet_svt_s.txt")
            + sum(len(list(leaves(item, {"epoch"}))) for item in svt),
        ),
        "yolo_fire": (1, table_cells(LOGS / "yolo_fire/results.csv", {"epoch"})),
    }


def test_runs_and_points_are_those_that_the_files_hold(logs: Logs) -> None:
    folders = [str(run).partition("/")[0] for run in logs.runs.index]
    points = logs.points["run"].astype(str).str.partition("/")[0].value_counts()
    found = {name: (folders.count(name), int(points[name])) for name in dict.fromkeys(folders)}
    assert found == expected()


def test_nothing_is_repeated_or_broken_and_all_else_is_named(logs: Logs) -> None:
    assert (logs.runs[["merged_points", "broken_lines"]].sum() == 0).all()
    assert {Path(file.file).name for file in logs.unused} <= {
        "README.md", "SOURCE.txt", "LICENSE", "LICENSE.md",
    }  # fmt: skip


def test_validations_lie_at_their_iterations(logs: Logs) -> None:
    points = logs.points[logs.points["run"] == "twins/upernet_svt_s"]
    found = points[points["metric"] == "mIoU"]
    assert found["step"].tolist() == list(range(16_000, 160_001, 16_000))
