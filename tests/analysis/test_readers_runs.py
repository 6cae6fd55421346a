"""The table of runs: why each ended, its hyperparameters, and the files that say so."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.samples import HF, THAW, TUNE, curves, jsonl, read, records, runs, scalar

LOG = "step,loss\n1,2\n"
TRIALS = (
    "trial,head_lr,freeze,best_val_loss,last_val_loss,epochs,segments_trained,segments_reused,"
    "device_s,status,ended,best_key,folder\n"
    "0000,0.01,true,0.3,0.3,2,3,0,7.5,finished,finished,ab,0000\n"
    "0001,0.02,see,0.3,0.3,2,3,0,7.5,stopped,stopped by ASHA at epoch 2,ab,0001\n"
)
SEARCH = {"study": "s", "metric": "val_loss", "mode": "min", "options": {}}


def tune(num: int, **last: Any) -> str:
    """Return a trial of Tune with `num` results."""
    rows = [{**TUNE[0], "training_iteration": n, "done": False} for n in range(1, num + 1)]
    rows[-1].update(last)
    return jsonl(*rows)


def test_a_thaw_search_says_how_its_trials_ended(tmp_path: Path) -> None:
    logs = read(
        tmp_path,
        {
            "search.json": json.dumps(SEARCH, indent=1),
            "trials.csv": TRIALS,
            "0000/result.json": jsonl(*THAW),
            "0000/params.json": '{"head_lr": 0.01}',
            "0001/result.json": jsonl(*THAW[:2]),
        },
    )
    assert list(logs.runs["status"]) == ["finished", "stopped"]
    assert list(logs.runs["param:head_lr"]) == [0.01, 0.02]
    assert list(logs.runs["param:freeze"]) == [True, "see"]
    assert logs.unused == ()


def test_a_trial_of_thaw_without_its_table_says_it_too(tmp_path: Path) -> None:
    stopped = {**THAW[1], "done": True, "training_iteration": 2}
    files = {
        "a/result.json": jsonl(*THAW),
        "b/result.json": jsonl(THAW[0], stopped),
        "c/result.json": jsonl(*THAW[:2]),
    }
    assert list(read(tmp_path, files).runs["status"]) == ["finished", "stopped", "running"]


def test_the_stages_of_a_thaw_trial_are_counted_on_its_own_data(tmp_path: Path) -> None:
    """Epochs stand still while other data are trained on; a stage may be begun twice."""
    epochs = [0, 0, 1, 2, 3, 4, 5]
    names = ["pretrain", "pretrain", "head", "head", "full", "full", "last"]
    rows = [
        {**THAW[0], "epoch": epoch, "stage": name, "segment": number}
        for number, (epoch, name) in enumerate(zip(epochs, names, strict=True), 1)
    ]
    logs = read(tmp_path, {"a/result.json": jsonl(*rows), "b/metrics.csv": LOG})
    assert logs.runs.loc["a", "stages"] == (("head", 2), ("full", 2), ("last", 1))
    assert logs.runs.loc["b", "stages"] == ()


def test_the_seconds_of_a_thaw_trial_are_those_of_its_segments(tmp_path: Path) -> None:
    points = read(tmp_path, {"0000/result.json": jsonl(*THAW)}).points
    assert list(points[points["metric"] == "val_loss"]["wall_s"]) == [5.0, 7.5]


def test_a_loss_of_thaw_that_is_not_finite_is_a_point(tmp_path: Path) -> None:
    diverged = {**THAW[2], "val_loss": float("nan")}
    logs = read(tmp_path, {"0000/result.json": jsonl(*THAW[:2], diverged)})
    assert [step for step, _ in curves(logs)["val_loss"]] == [2, 3]


def test_the_table_of_a_search_without_its_trials_is_named(tmp_path: Path) -> None:
    logs = read(tmp_path, {"trials.csv": TRIALS, "other/a.csv": LOG})
    assert [file.file for file in logs.unused] == ["trials.csv"]


def test_trials_of_tune_that_ended_early_count_as_stopped(tmp_path: Path) -> None:
    files = {
        "exp/a/result.json": tune(9, done=True),
        "exp/b/result.json": tune(3, done=True),
        "exp/c/result.json": tune(3),
        "exp/d/result.json": tune(4),
        "exp/d/error.txt": "Traceback\n",
        "other/e/result.json": tune(3, done=True),
    }
    logs = read(tmp_path, files)
    assert list(logs.runs["status"]) == ["finished", "stopped", "running", "failed", "finished"]
    assert any("1 that ended before the longest" in note for note in logs.notes)
    assert logs.unused == ()


def test_the_parameters_of_tune_come_from_their_file(tmp_path: Path) -> None:
    files = {"a/result.json": jsonl(*TUNE), "a/params.json": '{"lr": 0.5, "model": {"depth": 4}}'}
    runs = read(tmp_path, files).runs
    assert (runs["param:lr"].item(), runs["param:model/depth"].item()) == (0.5, 4)


def test_the_parameters_of_tune_come_from_its_results_without_one(tmp_path: Path) -> None:
    runs = read(tmp_path, {"a/result.json": jsonl(*TUNE)}).runs
    assert (runs["param:lr"].item(), runs["param:model/depth"].item()) == (0.1, 3)


def test_settings_beside_one_log_are_its_parameters(tmp_path: Path) -> None:
    files = {"a/eval_measurements.csv": LOG, "a/hparams.json": '{"lr": 0.5, "name": "x"}'}
    logs = read(tmp_path, files)
    assert (logs.runs["param:lr"].item(), logs.runs["param:name"].item()) == (0.5, "x")
    assert logs.runs["files"].item() == "a/eval_measurements.csv; a/hparams.json"


def test_settings_beside_several_logs_are_of_none(tmp_path: Path) -> None:
    logs = read(tmp_path, {"a.csv": LOG, "b.csv": LOG, "hparams.json": '{"lr": 0.5}'})
    assert not any(name.startswith("param:") for name in logs.runs)
    assert [file.file for file in logs.unused] == ["hparams.json"]


def test_a_run_without_a_parameter_has_none(tmp_path: Path) -> None:
    logs = read(tmp_path, {"a/metrics.csv": LOG, "b/metrics.csv": LOG, "a/args.json": '{"lr": 1}'})
    assert logs.runs["param:lr"].isna().tolist() == [False, True]


@pytest.mark.parametrize(("step", "status"), [(20, "finished"), (15, "")])
def test_hugging_face_knows_whether_it_finished(tmp_path: Path, step: int, status: str) -> None:
    logs = read(tmp_path, {"trainer_state.json": json.dumps({**HF, "global_step": step})})
    assert logs.runs["status"].item() == status


def test_the_tables_of_a_report_among_the_logs_are_no_logs(tmp_path: Path) -> None:
    files = {
        "a.csv": LOG,
        "report/summary.json": '{"thaw_report": "diminishing-returns"}',
        "report/tables/runs.csv": "run,step,value\na,1,2\n",
    }
    logs = read(tmp_path, files)
    assert runs(logs) == ["a"]
    assert ("report/tables/runs.csv", "a table of a report of thaw") in {
        (file.file, file.reason) for file in logs.unused
    }


def test_the_columns_of_the_table_are_always_there(tmp_path: Path) -> None:
    logs = read(tmp_path, {"a.csv": LOG, "e/events.tfevents.1": records(scalar(1, "a", 1.0))})
    assert list(logs.runs.columns) == ["kind", "files", "merged_points", "broken_lines", "status"]
    assert logs.runs.index.name == "run"
