"""`thaw matrix`: the file, the order of runs, the state table; and a real one that is cut off."""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from search_spaces.study import study
from tests.thaw.helpers import Thaw
from thaw.at_work import is_at_work, working_in
from thaw.lists import _make_room
from thaw.matrix import base_lengths
from thaw.matrix_file import MatrixFile, planned_runs
from thaw.matrix_status import State, read_states
from thaw.results import write_search
from training.errors import UserError
from training.settings import Place

AXES = {
    "strategy": {"none": {}, "gen": {"strategy": "gen_real"}, "poor": {"strategy": "poor"}},
    "model": {"psp": {"encoder": "tu-test_resnet"}, "seg": {"architecture": "segformer"}},
}


@pytest.fixture
def thaw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Thaw:
    return Thaw(monkeypatch, capsys)


def write(folder: Path, **fields: Any) -> Path:
    path = folder / "matrix.yaml"
    path.write_text(yaml.safe_dump({"axes": AXES} | fields, sort_keys=False))
    return path


def names(path: Path) -> list[str]:
    return [run.item.name for run in planned_runs(MatrixFile.read(path))]


def test_the_runs_are_all_combinations_in_their_order_of_priority(tmp_path: Path) -> None:
    path = write(tmp_path, priority=[{"strategy": "poor"}, {"model": "seg"}])
    assert names(path) == ["poor-psp", "poor-seg", "none-seg", "gen-seg", "none-psp", "gen-psp"]


def test_a_run_has_the_fields_of_its_axes_and_the_dimensions_of_all(tmp_path: Path) -> None:
    path = write(tmp_path, task={"height": 32, "length": 2, "lr_curve": "poly"})
    run = planned_runs(MatrixFile.read(path))[3]
    assert run.labels == {"strategy": "gen", "model": "seg"}
    assert run.item.spec.task == {"height": 32, "strategy": "gen_real", "architecture": "segformer"}
    [stage] = run.item.spec.schedule.stages
    assert stage.epochs == 16 and stage.curve is not None and stage.curve.kind == "poly"
    assert run.item.values | {"length": 2, "lr_curve": "poly", "strategy": "gen"} == run.item.values


def test_an_axis_may_be_one_of_the_schedule_and_seeds_one_more(tmp_path: Path) -> None:
    axes = {"length": {"1x": {"length": 1}, "2x": {"length": 2}}}
    path = write(tmp_path, axes=axes, seeds=[0, 1])
    runs = planned_runs(MatrixFile.read(path))
    assert [run.item.name for run in runs] == ["1x-seed0", "1x-seed1", "2x-seed0", "2x-seed1"]
    assert [run.item.spec.schedule.seed for run in runs] == [0, 1, 0, 1]
    assert [run.item.spec.schedule.num_epochs for run in runs] == [8, 8, 16, 16]


def test_what_is_on_hold_is_known(tmp_path: Path) -> None:
    path = write(tmp_path, hold=[{"strategy": "gen"}])
    held = [run.item.name for run in planned_runs(MatrixFile.read(path)) if run.held]
    assert held == ["gen-psp", "gen-seg"]


def test_the_base_length_of_a_run_is_that_of_its_task(tmp_path: Path) -> None:
    axes = {"every": {"10": {"validate_every": 10}, "20": {"validate_every": 20}}}
    runs = planned_runs(MatrixFile.read(write(tmp_path, axes=axes)))
    found = base_lengths(study("training_length"), [run.item for run in runs])
    assert found == {"10": 8, "20": 4}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"axes": {}}, "matrix.yaml: axes: Dictionary should have at least 1 item"),
        ({"axes": {"model": {}}}, "axes.model: Dictionary should have at least 1 item"),
        ({"axis": {}}, "unknown field 'axis' (did you mean 'axes'?)"),
        ({"task": {"hight": 32}}, "unknown field in axes: 'hight' (did you mean 'height'?)"),
        ({"task": {"length": 9}}, "length: 9 is not allowed; allowed: 1 | 2 | 3 | 4"),
        ({"task": {"validate_every": 30}}, "validate_every: 30 does not divide base_iterations"),
        ({"priority": [{"modell": "psp"}]}, "unknown axis in"),
        ({"hold": [{"model": "pps"}]}, "(did you mean 'psp'?)"),
        ({"study": "training_lenght"}, "unknown study 'training_lenght'"),
        ({"axes": {"a": {"x y": {}, "x_y": {}}}}, "axes: two runs are called x_y"),
        ({"axes": {"epochs": {"x": {}}}}, "axes: epochs: is a column of trials.csv"),
        ({"hold": [{}]}, "all runs are on hold"),
        ({"axes": {"a": {"x": {"data": "nowhere"}}}}, "data folder nowhere: no such folder"),
    ],
)
def test_a_file_that_cannot_be(
    fields: dict[str, Any], said: str, tmp_path: Path, thaw: Thaw
) -> None:
    assert said in thaw.refused("matrix", write(tmp_path, **fields), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_matrix_has_no_states(tmp_path: Path, thaw: Thaw) -> None:
    assert "no results of a matrix" in thaw.refused("matrix", "status", tmp_path)
    (tmp_path / "search.json").write_text('{"kind": "extend"}')
    assert "was not made by `thaw matrix`" in thaw.refused("matrix", "status", tmp_path)
    assert "name the folder of results" in thaw.refused("matrix", "status")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What a matrix of four runs leaves when its process is killed."""
    runs = {run.item.name: run for run in planned_runs(MatrixFile.read(write(tmp_path)))}
    folder = tmp_path / "out"
    folder.mkdir()
    listed = {n: {"task": {}, **r.item.spec.schedule.plain()} for n, r in runs.items()}
    del listed["poor-seg"]
    planned = {name: run.labels for name, run in runs.items()}
    facts = {"kind": "matrix", "metric": "val_miou", "list": listed, "planned": planned}
    (folder / "search.json").write_text(json.dumps(facts))
    rows = [
        {"trial": "none-psp", "status": "finished", "epochs": 8, "ended": "finished"},
        {"trial": "none-seg", "status": "running", "epochs": 3, "ended": ""},
        {"trial": "gen-psp", "status": "failed", "epochs": 0, "ended": "failed: no memory"},
    ]
    with (folder / "trials.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["trial", "status", "epochs", "ended", "last_val_miou"])
        writer.writeheader()
        writer.writerows({**row, "last_val_miou": 0.5} for row in rows)
    return folder


def test_a_list_goes_on_on_devices_like_its_own_only(tmp_path: Path) -> None:
    described = {"list": {"a": {"seed": 0}}, "place": asdict(Place())}
    (tmp_path / "a").mkdir()
    on_gpu = described | {"place": asdict(Place(device="cuda"))}
    write_search(tmp_path, on_gpu)
    with pytest.raises(UserError, match=r"--out .*: its segments were trained with device cuda"):
        _make_room(tmp_path, described)
    assert (tmp_path / "a").exists()
    write_search(tmp_path, described)
    _make_room(tmp_path, described)
    assert not (tmp_path / "a").exists()


def states(folder: Path) -> dict[str, State]:
    return {state.name: state for state in read_states(folder)[1]}


def test_each_run_has_a_state(results: Path, thaw: Thaw) -> None:
    found = states(results)
    assert {name: state.state for name, state in found.items()} == {
        "none-psp": "complete",
        "none-seg": "pending",
        "gen-psp": "failed",
        "gen-seg": "pending",
        "poor-psp": "pending",
        "poor-seg": "pending",
    }
    assert found["none-seg"].remark.startswith("cut off") and found["none-seg"].done == 3
    assert found["poor-seg"].remark == "on hold" and found["gen-seg"].num == 8
    _, printed, _ = thaw("matrix", "status", results)
    assert "1 complete, 0 running, 4 pending, 1 failed" in printed
    assert "failed: no memory" in printed


def test_what_runs_while_a_process_is_at_work_is_running(results: Path) -> None:
    assert not is_at_work(results)
    with working_in(results):
        assert is_at_work(results) and states(results)["none-seg"].state == "running"
    assert not is_at_work(results)
