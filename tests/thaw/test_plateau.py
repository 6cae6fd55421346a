"""`thaw report plateau`: where it was stuck, what each run gained, which to take next."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.logs import LogError, read_logs
from thaw.cli import app
from thaw.plateau.options import Options
from thaw.plateau.tables import Tables, compute

TRUNK = [0.40, 0.50, 0.58, 0.61, 0.615, 0.618, 0.617, 0.619, 0.62, 0.62]
PACE = 0.2


def write(folder: Path, name: str, since: list[float], loss: float = 0.3) -> None:
    """A run that begins with the trunk."""
    rows = [f"{epoch},{value},0.3" for epoch, value in enumerate(TRUNK, 1)]
    rows += [f"{len(TRUNK) + epoch},{value},{loss}" for epoch, value in enumerate(since, 1)]
    path = folder / name / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["epoch,val_iou,val_loss", *rows]) + "\n")


def rising(num: int, to: float, seed: int = 0) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 0.001, num)
    return [round(value, 5) for value in np.linspace(0.62, to, num + 1)[1:] + noise]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    write(folder, "best", rising(12, 0.74))
    write(folder, "short", rising(8, 0.737, seed=1))
    write(folder, "flat", rising(12, 0.62, seed=2))
    write(folder, "exploded", [0.1], loss=3.0)
    write(folder, "ended before", [])
    return folder


def tables(folder: Path, **options: float | str) -> Tables:
    return compute(read_logs([folder]), Options(**{"pace": PACE} | options))  # type: ignore[arg-type]


def test_the_plateau_is_where_the_level_stopped_gaining(logs: Path) -> None:
    stuck = tables(logs).stuck
    assert (stuck.since, stuck.resume) == (6, 10)
    assert 0 <= stuck.gain < 0.01


def test_each_run_gained_over_the_resume_point(logs: Path) -> None:
    found = tables(logs).options.set_index("run")
    assert list(found.index) == ["best", "short", "flat", "exploded"]
    assert found.loc["best", "gain"] == pytest.approx(0.11, abs=0.01)
    assert found["real"].tolist() == [True, True, False, False]
    assert found.loc["best", "reached"] == 10 + 11 and np.isnan(found.loc["flat", "reached"])


def test_a_hyperparameter_never_stands_for_a_figure_of_the_report(logs: Path) -> None:
    (logs / "best" / "params.json").write_text(
        json.dumps({"epochs": 100, "gain": 9, "lr": 0.1}, indent=2)
    )
    found = tables(logs).options.set_index("run").loc["best"]
    assert (found["epochs"], found["epochs_param"], found["lr"]) == (12, 100, 0.1)


def test_which_verdict_held_when(logs: Path) -> None:
    said = tables(logs).verdicts
    kinds = {run: list(part["verdict"]) for run, part in said.groupby("run")}
    assert "stuck" in kinds["flat"] and "flat" in kinds["flat"]
    assert "stuck" not in kinds["best"]
    first = said[(said["run"] == "flat") & (said["verdict"] == "stuck")].iloc[0]
    assert first["step"] == 10 + 4, "20 epochs of the rules at a fifth of the pace"


def test_an_explosion_in_the_first_epoch_is_seen_against_the_resume_point(logs: Path) -> None:
    said = tables(logs).verdicts
    found = said[said["run"] == "exploded"]
    assert found["verdict"].tolist() == ["explosion"]
    assert "from 0.6200 to 0.1000" in found["because"].iloc[0]


def without_loss(file: Path, first: int, last: int = 99, loss: str = "") -> None:
    """Put `loss` in the place of the losses of some epochs."""
    head, *rows = file.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    rows = [",".join([e, v, loss if first <= int(e) <= last else old]) for e, v, old in cells]
    file.write_text("\n".join([head, *rows]) + "\n")


def test_a_loss_that_was_not_logged_is_no_explosion(logs: Path) -> None:
    without_loss(logs / "best" / "metrics.csv", 1)
    without_loss(logs / "short" / "metrics.csv", 12)
    without_loss(logs / "flat" / "metrics.csv", 5, 14)
    said = tables(logs).verdicts
    assert said.loc[said["verdict"] == "explosion", "run"].tolist() == ["exploded"]


def test_a_loss_that_leaps_over_a_gap_is_one(logs: Path) -> None:
    without_loss(logs / "exploded" / "metrics.csv", 8, 10)
    said = tables(logs).verdicts
    assert said.loc[said["verdict"] == "explosion", "run"].tolist() == ["exploded"]


def test_a_loss_that_is_no_number_is_an_explosion(logs: Path) -> None:
    without_loss(logs / "best" / "metrics.csv", 15, 15, "nan")
    said = tables(logs).verdicts.set_index(["run", "verdict"])
    assert said.loc[("best", "explosion"), "step"] == 15
    assert said.loc[("best", "explosion"), "because"].startswith("the loss is no number")


def test_the_shortest_of_those_within_noise_is_taken(logs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ["report", "plateau", str(logs), "--pace", str(PACE), "--out", str(out)]
    made = CliRunner().invoke(app, args)
    assert made.exit_code == 0, made.output
    assert "stuck from step 6 to 10" in made.output
    facts = json.loads((out / "summary.json").read_text())
    assert facts["resume_step"] == 10
    assert facts["next"] in ("best", "short") and facts["next"] in made.output


def test_where_nothing_gained_the_next_option_is_named(tmp_path: Path) -> None:
    for seed in (1, 2):
        write(tmp_path / "logs", f"run{seed}", rising(12, 0.62, seed))
    args = ["report", "plateau", str(tmp_path / "logs"), "--out", str(tmp_path / "out")]
    made = CliRunner().invoke(app, args)
    assert made.exit_code == 0, made.output
    assert "take the next option of the ladder" in made.output


def test_one_run_needs_the_resume_point(tmp_path: Path) -> None:
    write(tmp_path / "logs", "only", rising(8, 0.7))
    with pytest.raises(LogError, match="name the last step of the one that was stuck by --resume"):
        tables(tmp_path / "logs")
    assert tables(tmp_path / "logs", resume=10).stuck.resume == 10


def test_runs_from_a_checkpoint_go_on_from_the_run_that_was_stuck(
    logs: Path, tmp_path: Path
) -> None:
    apart = tmp_path / "apart"
    write(apart, "stuck", [])
    for name, since in (("best", rising(12, 0.74)), ("flat", rising(12, 0.62, seed=2))):
        file = apart / name / "metrics.csv"
        write(apart, name, since)
        rows = file.read_text().splitlines()[1 + len(TRUNK) :]
        numbered = (f"{n},{row.partition(',')[2]}" for n, row in enumerate(rows, 1))
        file.write_text("\n".join(["epoch,val_iou,val_loss", *numbered]) + "\n")
    found, whole = tables(apart, before="stuck"), tables(logs)
    assert found.stuck == whole.stuck
    columns = ["epochs", "level", "gain", "verdict"]
    rows = [
        table.options.set_index("run").loc[["best", "flat"], columns] for table in (found, whole)
    ]
    assert rows[0].equals(rows[1])
    with pytest.raises(LogError, match="--before: no run 'stukc'; found: best, flat, stuck"):
        tables(apart, before="stukc")


def test_a_resume_point_past_the_end_and_an_unknown_metric_are_told(logs: Path) -> None:
    with pytest.raises(LogError, match="no run has a value after step 22, the resume point"):
        tables(logs, resume=99)
    with pytest.raises(LogError, match=r"unknown metric 'iou'; found: .*val_iou"):
        compute(read_logs([logs]), Options(metric="iou"))


def test_a_metric_of_which_less_is_better_is_refused(logs: Path) -> None:
    """Else the run whose loss grew most would be the one to take."""
    with pytest.raises(LogError, match="val_loss: by its name less of it is better"):
        tables(logs, metric="val_loss")


def test_values_in_per_cent_are_refused(logs: Path) -> None:
    for file in logs.rglob("metrics.csv"):
        head, *rows = file.read_text().splitlines()
        cells = [row.split(",") for row in rows]
        file.write_text("\n".join([head, *(f"{n},{100 * float(v)},{w}" for n, v, w in cells)]))
    with pytest.raises(LogError, match=r"val_iou: 40 is not in \[0, 1\]"):
        tables(logs)
