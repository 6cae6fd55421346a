"""Each format is recognised by its content, and gives the points that are in it."""

import math
import os
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest

from analysis.logs import read_logs
from analysis.readers import READERS, reader_of
from analysis.readers.finding import find
from analysis.readers.head import Head
from tests.analysis.samples import SAMPLES, TUNE, Sample, curves, jsonl, read, runs

IDS = [f"{sample.kind}: {PurePosixPath(sample.path).name}" for sample in SAMPLES]
LIVE = {"thaw", "ray tune"}


@pytest.fixture(params=SAMPLES, ids=IDS)
def sample(request: pytest.FixtureRequest) -> Sample:
    found: Sample = request.param
    return found


def test_a_log_gives_the_points_that_are_in_it(sample: Sample, tmp_path: Path) -> None:
    sample.write(tmp_path / sample.path)
    logs = read_logs([tmp_path])
    assert list(logs.runs["kind"]) == [sample.kind]
    found = curves(logs)
    assert found.keys() == sample.curves.keys()
    for metric, expected in sample.curves.items():
        np.testing.assert_allclose(found[metric], expected, rtol=1e-12, err_msg=metric)


@pytest.mark.parametrize("name", ["a.csv", "b.json", "c.txt", "README", "result.json", "x.log"])
def test_the_kind_does_not_hang_on_the_name(sample: Sample, tmp_path: Path, name: str) -> None:
    reader = reader_of(Head.of(sample.write(tmp_path / name)))
    assert reader is not None and reader.kind == sample.kind


def test_every_format_has_a_sample() -> None:
    lcdb_has_its_own_test = {"lcdb"}
    assert {r.kind for r in READERS} - lcdb_has_its_own_test == {s.kind for s in SAMPLES}


def test_a_folder_with_all_formats_has_a_run_for_each(tmp_path: Path) -> None:
    for place, sample in enumerate(SAMPLES):
        sample.write(tmp_path / str(place) / sample.path)
    logs = read_logs([tmp_path])
    assert sorted(logs.runs["kind"]) == sorted(sample.kind for sample in SAMPLES)
    assert logs.unused == ()


def test_the_table_of_points_is_tidy(tmp_path: Path) -> None:
    for place, sample in enumerate(SAMPLES):
        sample.write(tmp_path / str(place) / sample.path)
    points = read_logs([tmp_path]).points
    assert list(points.columns) == ["run", "step", "epoch", "wall_s", "metric", "value"]
    assert [points[name].dtype.name for name in points] == [
        "category", "float64", "float64", "float64", "category", "float64",
    ]  # fmt: skip
    keys = points[["run", "metric", "step"]]
    assert not keys.duplicated().any()
    pd.testing.assert_frame_equal(points, points.sort_values(list(keys)))


@pytest.mark.parametrize(
    ("path", "run"),
    [
        ("0000/result.json", "0000"),
        ("work/20210409_223312.log.json", "work"),
        ("work/20230605_200941/vis_data/scalars.json", "work"),
        ("lightning_logs/version_0/metrics.csv", "lightning_logs/version_0"),
        ("out/trainer_state.json", "out"),
        ("evals/410m_step1000.json", "evals/pythia-410m"),
        ("points.csv", "points"),
        ("runs/a/events.out.tfevents.1.host", "runs/a"),
    ],
)
def test_a_run_is_called_by_its_path(path: str, run: str, tmp_path: Path) -> None:
    next(sample for sample in SAMPLES if sample.path == path).write(tmp_path / path)
    assert runs(read_logs([tmp_path])) == [run]


def test_a_run_in_the_folder_itself_is_called_by_it(tmp_path: Path) -> None:
    assert runs(read(tmp_path / "my run", {"metrics.csv": "step,loss\n1,2\n"})) == ["my run"]


def test_several_folders_go_before_the_names_of_their_runs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Sample("", "", "step,loss\n1,2\n", {}).write(tmp_path / name / "one.csv")
    assert runs(read_logs([tmp_path / "a", tmp_path / "b"])) == ["a/one", "b/one"]


def test_folders_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a/x", "b/x"):
        Sample("", "", "step,loss\n1,2\n", {}).write(tmp_path / name / "one.csv")
    assert runs(read_logs([tmp_path / "a/x", tmp_path / "b/x"])) == ["a/x/one", "b/x/one"]


def test_a_file_can_be_read_alone(tmp_path: Path) -> None:
    path = Sample("", "", "step,loss\n1,2\n", {}).write(tmp_path / "one.csv")
    assert runs(read_logs([path])) == ["one"]


def test_a_folder_that_is_given_twice_is_read_once(tmp_path: Path) -> None:
    Sample("", "", "step,loss\n1,2\n", {}).write(tmp_path / "one.csv")
    assert len(read_logs([tmp_path, tmp_path]).points) == 1


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    one, two = "step,loss,acc\n1,2,3\n", "acc,step,loss\n3,1,2\n"
    logs = read(tmp_path, {"one.csv": one, "two.csv": two})
    assert curves(logs, "one") == curves(logs, "two")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_may_have_other_delimiters(tmp_path: Path, delimiter: str) -> None:
    text = "step,loss\n1,2.5\n".replace(",", delimiter)
    assert curves(read(tmp_path, {"one.csv": text})) == {"loss": [(1, 2.5)]}


def test_a_table_with_a_run_column_holds_several_runs(tmp_path: Path) -> None:
    logs = read(tmp_path, {"all.csv": "run,step,loss\na,1,2\nb,1,3\na,2,1\n"})
    assert curves(logs, "all/a") == {"loss": [(1, 2), (2, 1)]}
    assert curves(logs, "all/b") == {"loss": [(1, 3)]}


def test_text_columns_and_unnamed_ones_are_no_metrics(tmp_path: Path) -> None:
    text = ",step,host,loss,note\n0,1,vm,2.5,\n1,2,vm,1.5,slow\n"
    assert curves(read(tmp_path, {"one.csv": text})) == {"loss": [(1, 2.5), (2, 1.5)]}


def test_two_columns_of_one_name_are_both_kept(tmp_path: Path) -> None:
    found = curves(read(tmp_path, {"one.csv": "step,loss,loss\n1,2,3\n"}))
    assert found == {"loss": [(1, 2)], "loss (3)": [(1, 3)]}


def test_nested_values_are_named_like_ray_does(tmp_path: Path) -> None:
    text = jsonl({"step": 1, "val": {"acc": {"top1": 0.5}}})
    assert curves(read(tmp_path, {"one.jsonl": text})) == {"val/acc/top1": [(1, 0.5)]}


def test_a_row_without_the_step_of_others_belongs_to_the_last_one(tmp_path: Path) -> None:
    text = jsonl({"step": 40, "epoch": 0, "loss": 2}, {"epoch": 0, "acc": 0.5})
    assert curves(read(tmp_path, {"one.jsonl": text}))["acc"] == [(40, 0.5)]


def test_a_configuration_before_the_rows_gives_hyperparameters(tmp_path: Path) -> None:
    text = jsonl({"args": {"lr": 0.1, "model": "vit"}}, {"step": 1, "loss": 2})
    logs = read(tmp_path, {"one.jsonl": text})
    assert logs.runs["param:args/lr"].item() == 0.1
    assert logs.runs["broken_lines"].item() == 0


def test_seconds_are_taken_where_the_log_has_them(tmp_path: Path) -> None:
    logs = read(tmp_path, {"result.json": jsonl(*TUNE)})
    found = logs.points[logs.points["metric"] == "val_loss"]
    assert list(found["wall_s"]) == [2.0, 4.0, 6.0]


def test_dates_become_seconds_since_the_start(tmp_path: Path) -> None:
    text = "Wall time,Step,Value\n1700000000.5,1,0.1\n1700000010.5,2,0.2\n"
    assert list(read(tmp_path, {"tag.csv": text}).points["wall_s"]) == [0.0, 10.0]


def test_a_column_that_is_no_clock_gives_no_seconds(tmp_path: Path) -> None:
    text = "step,time,loss\n" + "".join(f"{n},{n % 3},1\n" for n in range(9))
    assert read(tmp_path, {"one.csv": text}).points["wall_s"].isna().all()


def test_the_seconds_of_mmcv_are_those_of_its_iterations(tmp_path: Path) -> None:
    sample = next(sample for sample in SAMPLES if sample.path.endswith(".log.json"))
    points = read(tmp_path, {"a.log.json": sample.data}).points
    assert list(points[points["metric"] == "train/loss"]["wall_s"]) == [0, 25, 50, 75]


def test_epochs_are_kept_beside_the_steps(tmp_path: Path) -> None:
    text = "step,epoch,loss\n10,1,2.0\n20,2,1.0\n"
    assert list(read(tmp_path, {"one.csv": text}).points["epoch"]) == [1, 2]


def test_lcdb_needs_the_document_that_names_its_axes(tmp_path: Path) -> None:
    curve = "[[[[0.1,0.2],[0.3,null]],[[0.01,0.02],[0.03,null]]]]"
    meta = (
        '{"learners": ["kNN"], "stat_labels": ["mean", "stderr"],'
        ' "anchors": [16, 18], "tvt_labels": ["train", "test"]}'
    )
    logs = read(tmp_path, {"lcdb/3.json": curve, "lcdb/meta.json": meta, "alone/3.json": curve})
    assert curves(logs, "lcdb/3/kNN") == {
        "train_error": [(16, 0.1), (18, 0.3)],
        "test_error": [(16, 0.2)],
        "train_error_stderr": [(16, 0.01), (18, 0.03)],
        "test_error_stderr": [(16, 0.02)],
    }
    assert [file.file for file in logs.unused] == ["alone/3.json"]


def test_a_metric_that_was_not_measured_is_no_point(tmp_path: Path) -> None:
    text = "step,bbox_mAP,loss\n1,-1,-1\n2,0.5,0.2\n"
    logs = read(tmp_path, {"one.csv": text})
    assert curves(logs) == {"bbox_mAP": [(2, 0.5)], "loss": [(1, -1), (2, 0.2)]}
    assert any("-1" in note for note in logs.notes)


def test_values_that_are_not_finite_are_kept_and_counted(tmp_path: Path) -> None:
    text = '{"step": 1, "loss": NaN}\n{"step": 2, "loss": -Infinity}\n{"step": 3, "loss": 1}\n'
    logs = read(tmp_path, {"one.jsonl": text})
    assert list(logs.points["value"].isna()) == [True, True, False]
    assert logs.notes == (
        "2 values are not finite, or beyond 1e100, and stand as NaN: loss of one (2).",
    )


def test_an_integer_of_any_size_is_a_number(tmp_path: Path) -> None:
    logs = read(tmp_path, {"one.jsonl": '{"step": 1, "loss": 1' + "0" * 400 + "}\n"})
    assert math.isnan(logs.points["value"].item())


def test_fractions_and_per_cent_of_one_metric_are_noted(tmp_path: Path) -> None:
    logs = read(tmp_path, {"a.csv": "step,acc\n1,0.5\n", "b.csv": "step,acc\n1,50\n"})
    assert logs.notes == (
        "acc is a fraction in a, and in per cent in b: a mean over both means nothing.",
    )


def test_epochs_from_0_and_from_1_are_noted(tmp_path: Path) -> None:
    logs = read(tmp_path, {"a.csv": "epoch,x\n0,1\n1,2\n", "b.csv": "epoch,x\n1,1\n2,2\n"})
    assert logs.notes == (
        "Epochs count from 0 in a, and from 1 in b: their steps are left as they are.",
    )


def test_a_run_without_validation_is_noted(tmp_path: Path) -> None:
    logs = read(tmp_path, {"a.csv": "step,train_loss,lr\n1,0.5,0.1\n"})
    assert logs.notes == ("No validation: a.",)


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = Sample("", "", "step,loss\n1,2\n", {}).write(tmp_path / "outside" / "x.csv")
    inside = Sample("", "", "step,loss\n1,2\n", {}).write(tmp_path / "logs" / "one.csv")
    os.symlink(outside, tmp_path / "logs" / "file")
    os.symlink(outside.parent, tmp_path / "logs" / "folder")
    os.symlink(inside, tmp_path / "logs" / "inner")
    os.symlink(tmp_path / "logs", tmp_path / "logs" / "loop")
    os.symlink(tmp_path / "nothing", tmp_path / "logs" / "dangling")
    logs = read_logs([tmp_path / "logs"])
    assert runs(logs) == ["one"]
    assert {(file.file, file.reason) for file in logs.unused} == {
        ("file", "a link out of the folder"),
        ("folder", "a link out of the folder"),
        ("inner", "a link inside the folder"),
        ("loop", "a link inside the folder"),
        ("dangling", "a link to nothing"),
    }


def test_hidden_folders_and_pipes_are_passed_over(tmp_path: Path) -> None:
    Sample("", "", "step,loss\n1,2\n", {}).write(tmp_path / "one.csv")
    Sample("", "", "step,loss\n1,2\n", {}).write(tmp_path / ".git" / "two.csv")
    os.mkfifo(tmp_path / "pipe")
    assert {(file.file, file.reason) for file in read_logs([tmp_path]).unused} == {
        (".git", "a hidden folder"),
        ("pipe", "not a file: a socket, pipe or device"),
    }


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    for place, sample in enumerate(SAMPLES):
        sample.write(tmp_path / str(place) / sample.path)
    Sample("", "", "hello\n", {}).write(tmp_path / "README.md")
    Sample("", "", b"\x00\x01\x02", {}).write(tmp_path / "blob")
    logs = read_logs([tmp_path])
    used = [file for files in logs.runs["files"] for file in files.split("; ")]
    known = sorted([*used, *(file.file for file in logs.unused)])
    assert known == sorted(str(found.name) for found in find([tmp_path]))
