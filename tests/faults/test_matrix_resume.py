"""A matrix whose process is killed goes on with the same command, and takes up new runs."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.processes import wait_until
from tests.faults.test_interrupt import start
from tests.faults.test_resume import finish, kill, table
from thaw.matrix_status import read_states

MATRIX: dict[str, Any] = {
    "task": {"encoder": "tu-test_resnet", "height": 32, "width": 32, "validate_every": 20},
    "axes": {
        "strategy": {"none": {}, "gen": {"strategy": "gen_real"}},
        "length": {"1x": {"length": 1}},
    },
    "priority": [{"strategy": "gen"}],
}
RUNS = ["gen-1x", "none-1x"]


def command(file: Path, matrix: dict[str, Any], out: Path) -> tuple[str, ...]:
    file.write_text(yaml.safe_dump(matrix, sort_keys=False))
    store = f"{out}-store"
    return "matrix", str(file), "--out", str(out), "--store", store, "--max-concurrent", "1"


def records(out: Path) -> list[Path]:
    return list(Path(f"{out}-store").glob("*/*/record.json"))


def results(out: Path) -> dict[str, tuple[str, str]]:
    """Return how each run ended, and its best value to the last digit."""
    return {row["trial"]: (row["status"], row["best_val_miou"]) for row in table(out)}


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_killed_matrix_goes_on_and_takes_up_new_runs(tmp_path: Path) -> None:
    calm, killed, file = tmp_path / "calm", tmp_path / "killed", tmp_path / "matrix.yaml"
    finish(*command(file, MATRIX, calm))
    assert sorted(results(calm)) == RUNS

    process, mark = start(*command(file, MATRIX, killed))
    wait_until(lambda: len(records(killed)) >= 2, 240, "two segments")
    kill(process, mark)
    states = {state.name: state.state for state in read_states(killed)[1]}
    assert list(states) == RUNS, "in the order of priority"
    assert "running" not in states.values()

    finish(*command(file, MATRIX, killed))
    assert results(killed) == results(calm)
    assert len(records(killed)) == len(records(calm))

    longer = deepcopy(MATRIX)
    longer["axes"]["length"]["2x"] = {"length": 2}
    finish(*command(file, longer, killed))
    assert {state.state for state in read_states(killed)[1]} == {"complete"}
    assert len(results(killed)) == 4
    assert {run: results(killed)[run] for run in RUNS} == results(calm)
