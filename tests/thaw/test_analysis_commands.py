"""`thaw report`, `thaw forecast` and `thaw compare`: what they write, print and refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.analysis.making import LABELS, write_logs
from tests.thaw.helpers import Thaw
from thaw.cli import app

REPORT = ("report", "diminishing-returns")
ROOT = Path(__file__).parents[2]
FIELDS = "run seen_step target_step predicted lo80 hi80 lo90 hi90 last_value log_linear flags"


def write_csv(path: Path, rows: int = 20, header: str = "epoch,val_accuracy") -> Path:
    """A run that rises and flattens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = [f"{epoch},{0.9 - 0.5 / epoch:.6f}" for epoch in range(1, rows + 1)]
    path.write_text("\n".join([header, *values]) + "\n")
    return path


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs in the folder `logs` of the current folder."""
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "logs/a/metrics.csv")
    write_csv(tmp_path / "logs/b/metrics.csv", rows=24)
    return Path("logs")


def test_the_report_of_the_reference_logs(tmp_path: Path, thaw: Thaw) -> None:
    planned = write_logs(tmp_path / "logs")
    out = tmp_path / "out"
    options = ("--labels", LABELS, "--planned", planned, "--out", out)
    code, text, err = thaw(*REPORT, tmp_path / "logs", *options)
    assert code == 0, err
    assert "22 of 56 runs are complete at 320k" in text
    assert {path.name for path in out.iterdir()} == {
        "report.md",
        "report.html",
        "summary.json",
        "tables",
    }
    phases = pd.read_csv(out / "tables/phases.csv")
    assert (100 * phases["mean_gain"]).round(2).tolist() == [0.75, 0.39, 0.10]


def test_every_threshold_can_be_set(logs: Path, thaw: Thaw) -> None:
    options = (
        "--metric val_accuracy --mode min --phases 4,8,16 --checkpoints 8,12 --base 2 --target 20 "
        "--tolerance 1 --fast-peak 6 --no-gain-after 7 --slow-peak 18 --shares 50,100 --drop 30 "
        "--ahead 40 --worth 0.01 --smooth 3 --noise 1 --level 80 --draws 50 --seed 3 "
        "--max-curves 1 --max-forecasts 1 --max-rows 1"
    )
    code, _, err = thaw(*REPORT, logs, "--out", "out", *options.split())
    assert code == 0, err
    found = json.loads(Path("out/summary.json").read_text())
    assert (found["mode"], found["phase_ends"], found["base"], found["target"]) == (
        "min",
        [4, 8, 16],
        2,
        20,
    )
    assert found["thresholds"]["shares"] == [50, 100]
    checkpoints = pd.read_csv("out/tables/checkpoints.csv")
    assert list(checkpoints.columns[:4]) == ["run", "8", "12", "peak_step"]


def test_what_was_chosen_for_the_user_is_said(logs: Path, thaw: Thaw) -> None:
    code, _, err = thaw(*REPORT, logs, "--out", "out")
    assert code == 0, err
    text = Path("out/report.md").read_text()
    assert "metric is val_accuracy" in text
    assert "quarters" in text


def test_files_that_are_no_logs_are_named(logs: Path, thaw: Thaw) -> None:
    (logs / "empty.csv").touch()
    (logs / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    code, text, err = thaw(*REPORT, logs, "--out", "out")
    assert code == 0, err
    unused = pd.read_csv("out/tables/unused.csv")
    assert set(unused["file"]) == {"empty.csv", "picture.png"}
    assert "2 files were not used" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metric", "val_acuracy"), "unknown metric 'val_acuracy' (did you mean 'val_accuracy'"),
        (("--phases", "4,x"), "--phases '4,x': must be steps with commas between them"),
        (("--phases", "8,4"), "--phases '8,4': must rise"),
        (("--mode", "up"), "--mode 'up': allowed: auto, max, min"),
        (("--shares", "0"), "--shares '0': must be shares in per cent"),
        (("--smooth", "0"), "--smooth '0': must be a whole number, at least 1"),
        (("--level", "100"), "--level '100': must be a number, 1 .. 99.9"),
        (("--groups", "dataset"), "--groups: unknown label 'dataset'"),
        (("--target", "5", "--phases", "4,8"), "--target 5: must not come before"),
        (("--fast-peak", "20", "--slow-peak", "10"), "--fast-peak 20: must not come after"),
        (("--base", "0"), "--base '0': must be a step above 0"),
        (("--shares", "100,60"), "--shares '100,60': must rise from each share to the next"),
        (("--smooth", "100"), "--smooth 100: more than the 24 evaluations of the longest run"),
        (("--out", "logs/a/metrics.csv"), "--out logs/a/metrics.csv: cannot be written"),
    ],
)
def test_a_wrong_option_of_a_report_is_one_line(
    options: tuple[str, ...], message: str, logs: Path, thaw: Thaw
) -> None:
    assert thaw.refused(*REPORT, logs, *options).startswith(message)


@pytest.mark.parametrize("command", [REPORT, ("forecast", "--to", "9"), ("compare",)])
def test_logs_that_are_none_are_one_line(
    command: tuple[str, ...], tmp_path: Path, thaw: Thaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.csv").touch()
    for path in ("nowhere", "empty", "zero.csv"):
        assert path in thaw.refused(*command, path)
    assert sorted(os.listdir()) == ["empty", "zero.csv"], "something was written"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,nan\n2,inf\n3,1e308\n4,-1e308\n", "no metric with a finite value in these logs"),
        ("-2,0.1\n-1,0.2\n0,0.3\n", "val_acc: no run has a value at a step above 0"),
    ],
)
@pytest.mark.parametrize("command", [REPORT, ("forecast", "--seen", "0.5")])
def test_logs_of_which_nothing_can_be_said_are_one_line(
    command: tuple[str, ...],
    rows: str,
    message: str,
    tmp_path: Path,
    thaw: Thaw,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(f"step,val_acc\n{rows}")
    assert thaw.refused(*command, "a.csv").startswith(message)


def test_two_evaluations_make_one_phase(tmp_path: Path, thaw: Thaw) -> None:
    """No phase ends where no run has a value."""
    (tmp_path / "a.csv").write_text("step,val_acc\n1,0.5\n2,0.6\n")
    code, _, err = thaw(*REPORT, tmp_path / "a.csv", "--out", tmp_path / "out")
    assert code == 0, err
    phases = pd.read_csv(tmp_path / "out/tables/phases.csv")
    assert phases[["start", "end", "mean_gain"]].values.tolist() == [[1, 2, pytest.approx(0.1)]]


def test_a_link_to_itself_is_one_line(tmp_path: Path, thaw: Thaw) -> None:
    (tmp_path / "self").symlink_to("self")
    assert "Too many levels of symbolic links" in thaw.refused(*REPORT, tmp_path / "self")
    (tmp_path / "logs/inner").mkdir(parents=True)
    (tmp_path / "logs/inner/up").symlink_to("..")
    write_csv(tmp_path / "logs/a.csv")
    code, text, err = thaw(*REPORT, tmp_path / "logs", "--out", tmp_path / "out")
    assert (code, "1 of 1 runs is complete" in text) == (0, True), err
    unused = pd.read_csv(tmp_path / "out/tables/unused.csv")
    assert unused.values.tolist() == [["inner/up", "a link inside the folder"]]


def test_a_back_test_is_one_json_object_a_run(logs: Path, thaw: Thaw) -> None:
    code, out, err = thaw("forecast", logs, "--seen", "0.5", "--json")
    assert code == 0, err
    runs = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    assert [list(run) for run in runs] == [FIELDS.split()] * 2
    assert [(run["seen_step"], run["target_step"]) for run in runs] == [(10, 20), (12, 24)]
    for run in runs:
        assert run["lo90"] <= run["lo80"] <= run["predicted"] <= run["hi80"] <= run["hi90"]


def test_a_look_ahead_is_a_table(logs: Path, thaw: Thaw) -> None:
    code, out, err = thaw("forecast", logs, "--metric", "val_accuracy", "--to", "0.04k")
    assert code == 0, err
    assert "val_accuracy" in out and " 40 " in out, out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "forecast: name a step with --to, or a share with --seen; not both"),
        (("--to", "9", "--seen", "0.5"), "forecast: name a step with --to, or a share with --seen"),
        (("--seen", "1"), "--seen 1: must be a share between 0 and 1"),
        (("--to", "soon"), "--to 'soon': must be a step"),
        (("--to", "0"), "--to 0: must be a step above 0"),
        (("--to", "9", "--metric", "x"), "unknown metric 'x'"),
        (("--to", "9", "--min-gain", "nan"), "--min-gain nan: must be a finite number"),
        (("--to", "9", "--mode", "up"), "--mode 'up': allowed: auto, max, min"),
    ],
)
def test_a_wrong_option_of_a_forecast_is_one_line(
    options: tuple[str, ...], message: str, logs: Path, thaw: Thaw
) -> None:
    assert thaw.refused("forecast", logs, *options).startswith(message)


def test_compare_writes_one_folder_and_says_how_to_open_it(logs: Path, thaw: Thaw) -> None:
    code, out, err = thaw("compare", logs / "a", logs / "b", "--out", "both")
    assert code == 0, err
    assert "tensorboard --logdir both" in out
    assert list(Path("both").rglob("events.out.tfevents.*"))


def test_compare_does_not_write_into_what_is_there(logs: Path, thaw: Thaw) -> None:
    assert thaw.refused("compare", logs, "--out", "logs").startswith("--out logs: is not empty")


@pytest.mark.parametrize("command", [REPORT, ("forecast",), ("compare",)])
def test_help_has_an_example(command: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert ended.exit_code == 0, ended.output
    assert f"thaw {' '.join(command)}" in ended.output.split("Example", 1)[1]


def test_the_command_line_starts_without_what_is_slow() -> None:
    heavy = ("pandas", "plotly", "numpy", "scipy", "torch", "ray", "optuna")
    code = f"import sys, thaw.cli; print(*[m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (run.stdout.split(), run.stderr) == ([], "")
