"""Each scheduler on real Ray, on two moons: pauses, promotions and forks cost nothing twice."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from rich.console import Console

from search_spaces.study import study
from tests.thaw.helpers import Thaw
from thaw.options import Options
from thaw.results import Table, read_search
from thaw.search import search
from trainables.spec import TrialSpec

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]
MOONS = str(Path(__file__).parents[2] / "docs" / "own" / "moons_study.py")


def run(folder: Path, **options: object) -> Table:
    chosen = Options(
        study=MOONS,
        trials=4,
        seed=0,
        out=str(folder / "out"),
        store=str(folder / "store"),
        max_concurrent=1,
    )
    quiet = Console(file=io.StringIO())
    return search(study(MOONS), {}, {}, replace(chosen, **options), quiet)  # type: ignore[arg-type]


def num_records(folder: Path) -> int:
    return len(list((folder / "store").glob("*/*/record.json")))


def states(folder: Path) -> list[TrialState]:
    url = f"sqlite:///{folder / 'out' / 'optuna.db'}"
    return [trial.state for trial in optuna.load_study(study_name="moons", storage=url).trials]


def untimed(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("device_s", "cost_s")} for row in rows]


@pytest.mark.parametrize("scheduler", ["hyperband", "median", "asha-promote", "pbt"])
def test_no_segment_is_trained_twice(tmp_path: Path, scheduler: str) -> None:
    table = run(tmp_path, scheduler=scheduler)
    rows = table.rows.values()
    assert {row.status for row in rows} <= {"finished", "stopped"} and len(rows) == 4
    assert "finished" in {row.status for row in rows}
    assert sum(row.segments_trained for row in rows) == num_records(tmp_path)
    assert TrialState.RUNNING not in states(tmp_path)
    for row in rows:  # also those that started again have their files, once
        assert (tmp_path / "out" / row.folder / "schedule.yaml").exists(), row
        results = (tmp_path / "out" / row.folder / "result.json").read_text().splitlines()
        assert len(results) == row.segments, row


@pytest.mark.parametrize("scheduler", ["asha-promote", "pbt"])
def test_a_search_that_pauses_goes_on_to_the_same_table(tmp_path: Path, scheduler: str) -> None:
    run(tmp_path, scheduler=scheduler)
    calm = untimed(tmp_path)
    run(tmp_path, scheduler=scheduler, resume=True)
    assert untimed(tmp_path) == calm


def test_a_forked_trial_is_pruned_and_its_schedule_says_where_it_comes_from(tmp_path: Path) -> None:
    table = run(tmp_path, scheduler="pbt")
    specs = {
        row.trial: TrialSpec.read(str(tmp_path / "out" / row.folder / "schedule.yaml"))
        for row in table.rows.values()
    }
    forked = [int(name) for name, spec in specs.items() if spec.schedule.fork]
    assert forked, "of four trials one is in the worst quarter"
    assert {states(tmp_path)[number] for number in forked} == {TrialState.PRUNED}


def test_two_objectives_end_in_a_pareto_front(tmp_path: Path) -> None:
    table = run(tmp_path, scheduler="none", pareto=True)
    url = f"sqlite:///{tmp_path / 'out' / 'optuna.db'}"
    best = optuna.load_study(study_name="moons", storage=url).best_trials
    assert {row.trial for row in table.pareto()} == {f"{trial.number:04}" for trial in best}


def test_trials_are_extended_for_the_price_of_the_difference(tmp_path: Path, thaw: Thaw) -> None:
    run(tmp_path, trials=2, scheduler="none")
    before = num_records(tmp_path)
    out = str(tmp_path / "out")
    code, _, errors = thaw("extend", out, "--trials", "best:2", "--epochs", "13")
    assert code == 0, errors
    assert num_records(tmp_path) - before == 2 * 3
    _, rows = read_search(Path(f"{out}-extend13"))
    assert [(row["epochs"], row["segments_trained"]) for row in rows] == [("13", "3")] * 2
    code, _, errors = thaw("extend", out, "--trials", "best:2", "--epochs", "13")
    assert (code, num_records(tmp_path) - before) == (0, 6), "the same again costs nothing"
    code, _, errors = thaw("extend", out, "--epochs", "14", "--out", f"{out}-extend13")
    assert code == 2 and "not an earlier run of this" in errors


def test_the_best_is_confirmed_with_other_seeds(tmp_path: Path, thaw: Thaw) -> None:
    run(tmp_path, trials=2, scheduler="none")
    code, printed, errors = thaw("confirm", str(tmp_path / "out"), "--top", "1", "--seeds", "2")
    assert code == 0, errors
    _, rows = read_search(tmp_path / "out-confirm")
    assert [row["trial"] for row in rows if row["origin"] == "baseline"] == [
        "baseline-seed1",
        "baseline-seed2",
    ]
    assert [row["seed"] for row in rows if row["origin"] != "baseline"] == ["1", "2"]
    assert "better than baseline" in printed
