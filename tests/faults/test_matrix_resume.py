"""A matrix whose process is killed goes on with the same command, and trains nothing twice."""

import json
from pathlib import Path

import pytest
import yaml

from tests.faults.processes import wait_until
from tests.faults.test_interrupt import start
from tests.faults.test_resume import finish, kill, table
from thaw.matrix_status import read_states

MATRIX = {
    "task": {"encoder": "tu-test_resnet", "height": 32, "width": 32, "validate_every": 20},
    "axes": {
        "strategy": {"none": {}, "gen": {"strategy": "gen_real"}},
        "length": {"1x": {"length": 1}},
    },
    "priority": [{"strategy": "gen"}],
}


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_killed_matrix_goes_on_and_takes_up_a_new_run(tmp_path: Path) -> None:
    file, out, store = tmp_path / "m.yaml", tmp_path / "out", tmp_path / "store"
    file.write_text(yaml.safe_dump(MATRIX))
    command = ("matrix", str(file), "--out", str(out), "--store", str(store))
    process, mark = start(*command, "--max-concurrent", "1")
    wait_until(lambda: len(list(store.glob("*/*/record.json"))) >= 2, 240, "two segments")
    kill(process, mark)
    states = {state.name: state.state for state in read_states(out)[1]}
    assert set(states) == {"gen-1x", "none-1x"} and "running" not in states.values(), states

    MATRIX["axes"]["length"]["2x"] = {"length": 2}  # type: ignore[index]
    file.write_text(yaml.safe_dump(MATRIX))
    finish(*command, "--max-concurrent", "1")
    rows = {row["trial"]: row for row in table(out)}
    assert next(iter(json.loads((out / "search.json").read_text())["list"])) == "gen-1x"
    assert {row["status"] for row in rows.values()} == {"finished"} and len(rows) == 4
    distinct = len({line.split()[1] for line in (out / "segments.txt").read_text().splitlines()})
    trained = sum(int(row["segments_trained"]) for row in rows.values())
    assert trained == distinct == 2 * (3 + 1 + 5), "a trunk of 3 or more, and what is not shared"
    assert {state.state for state in read_states(out)[1]} == {"complete"}
