"""Length with the schedule tuned anew, and the labels and plans of a matrix, from logs by hand."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from analysis.diminishing.options import Options
from analysis.diminishing.report import report
from analysis.diminishing.runs import COMPLETE, FAILED, PENDING
from analysis.diminishing.tables import Tables, compute
from analysis.document import Text
from analysis.logs import Logs, read_logs

GAINS = {("cosine", 1): 0.50, ("cosine", 2): 0.56, ("poly", 1): 0.52, ("poly", 2): 0.53}


def write_run(folder: Path, name: str, length: int, last: float, *, status: str = "") -> None:
    """A trial of a thaw search: 8 segments of 10 iterations for each length."""
    path = folder / name / "result.json"
    path.parent.mkdir(parents=True)
    num = 8 * length
    rows = []
    for at in range(1, num + 1):
        ended = (status or "finished") if at == num else ""
        rows.append(
            {
                "training_iteration": at,
                "iterations": 10 * at,
                "segment": at,
                "epoch": at,
                "val_miou": last - 0.3 * (1 - at / num) + (0.001 if at % 2 else -0.001),
                "key": f"{name}{at}",
                "device_s": 36.0,
                "reused": False,
                "ended": ended,
                "done": bool(ended),
            }
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_table(folder: Path, rows: list[dict[str, object]]) -> None:
    """`trials.csv` as a search writes it."""
    base = {"status": "finished", "ended": "finished", "segments_trained": 1}
    whole = [{"trial": row["folder"], **base, **row} for row in rows]
    names = list(dict.fromkeys(name for row in whole for name in row))
    lines = [",".join(names), *(",".join(str(row.get(n, "")) for n in names) for row in whole)]
    (folder / "trials.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    folder = tmp_path / "search"
    rows: list[dict[str, object]] = []
    for number, ((curve, length), last) in enumerate(GAINS.items()):
        name = f"{number:04d}"
        write_run(folder, name, length, last)
        rows.append({"folder": name, "lr_curve": curve, "length": length, "seed": 0})
    write_run(folder, "0009", 1, 0.99, status="stopped")
    rows.append({"folder": "0009", "lr_curve": "cosine", "length": 2, "status": "stopped"})
    write_table(folder, rows)
    return read_logs([folder])


@pytest.fixture
def lengths(logs: Logs) -> Tables:
    return compute(logs, Options(metric="val_miou"))


def test_the_envelope_takes_the_best_schedule_of_each_length(lengths: Tables) -> None:
    found = lengths.retuned.envelope
    assert found["length"].tolist() == [1, 2] and found["steps"].tolist() == [80, 160]
    assert found["schedule"].tolist() == ["lr_curve poly", "lr_curve cosine"]
    assert found["value"].tolist() == pytest.approx([0.519, 0.559])
    assert found["num_schedules"].tolist() == [2, 2], "the stopped one does not count"
    assert found["hours"].tolist() == pytest.approx([0.08, 0.16])
    low, high = json.loads(found["interval"][0])
    assert low < 0.519 < high and found["interval_from"][0] == "noise of the curve"


def test_the_same_run_told_again_is_no_second_run(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    rows: list[dict[str, object]] = []
    for number, length in enumerate((1, 1, 1, 2)):
        write_run(folder, f"{number:04d}", length, 0.5)
        rows.append({"folder": f"{number:04d}", "length": length, "seed": 0})
    write_table(folder, rows)
    found = compute(read_logs([folder]), Options(metric="val_miou")).retuned.envelope
    assert found["num_runs"].tolist() == [1, 1]
    assert found["interval_from"].tolist() == ["noise of the curve"] * 2


def test_what_wrong_choices_cost(lengths: Tables) -> None:
    costs = lengths.retuned.costs.set_index(["choice", "length"])["loss"]
    assert costs["this length instead of the best", 1] == pytest.approx(0.04)
    assert costs["this length instead of the best", 2] == 0
    assert costs["schedule tuned at length 1", 2] == pytest.approx(0.03)
    assert costs["schedule tuned at length 2", 1] == pytest.approx(0.02)
    assert costs["worst: lr_curve cosine", 1] == pytest.approx(0.02)


def test_hours_that_the_log_does_not_tell_are_not_none(logs: Logs) -> None:
    timeless = replace(logs, points=logs.points.assign(wall_s=np.nan))
    costs = compute(timeless, Options(metric="val_miou")).retuned.costs
    assert costs["hours_lost"].isna().all(), costs


def test_the_noise_of_the_curve_is_shown_at_the_level_that_was_asked_for(logs: Logs) -> None:
    def width(level: float) -> float:
        found = compute(logs, Options(metric="val_miou", level=level)).retuned.envelope
        low, high = json.loads(found["interval"][0])
        return float(high - low)

    assert width(80) / width(90) == pytest.approx(1.28155 / 1.64485, rel=1e-3)


def test_three_groups_give_an_interval_over_them(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    names = [f"{group}-{length}" for group in "abc" for length in (1, 2)]
    rows: list[dict[str, object]] = []
    for number, name in enumerate(names):
        length = int(name[-1])
        write_run(folder, name, length, 0.5 + 0.01 * number)
        rows.append({"folder": name, "length": length, "strategy": name[0]})
    write_table(folder, rows)
    planned = {name: {"strategy": name[0]} for name in names}
    write_search(folder, planned)
    found = compute(read_logs([folder]), Options(metric="val_miou")).retuned.envelope
    assert found["interval_from"].tolist() == ["3 runs", "3 runs"]
    low, high = json.loads(found["interval"][1])
    assert low < found["value"][1] < high and found["value"][1] == pytest.approx(0.529)


def compared(folder: Path, values: dict[str, float]) -> Logs:
    """Logs of trials `schedule-group-length`, and the value with which each ended."""
    rows: list[dict[str, object]] = []
    for name, value in values.items():
        schedule, group, length = name.split("-")[:3]
        write_run(folder, name, int(length), value)
        rows.append({"folder": name, "lr_curve": schedule, "data": group, "length": int(length)})
    write_table(folder, rows)
    write_search(folder, {name: {"data": name.split("-")[1]} for name in values})
    return read_logs([folder])


def test_schedules_are_compared_on_the_groups_that_all_of_them_have(tmp_path: Path) -> None:
    values = {"a-x-1": 0.9, "a-y-1": 0.5, "b-y-1": 0.6, "b-z-1": 0.5, "a-y-2": 0.7}
    found = compute(compared(tmp_path, values), Options(metric="val_miou")).retuned
    row = found.envelope.set_index("length").loc[1]
    assert (row["schedule"], row["num_runs"]) == ("lr_curve b", 1)
    assert row["value"] == pytest.approx(0.599) and found.apart == ()


def test_a_group_counts_once_however_many_runs_it_has(tmp_path: Path) -> None:
    values = {"a-x-1": 0.9, "a-x-1-again": 0.91, "a-y-1": 0.5, "b-x-1": 0.8, "b-y-1": 0.7}
    logs = compared(tmp_path, values | {"a-x-2": 0.7})
    found = compute(logs, Options(metric="val_miou")).retuned.envelope
    assert (found["schedule"][0], found["value"][0]) == ("lr_curve b", pytest.approx(0.749))


def test_where_no_group_is_common_it_is_said(tmp_path: Path) -> None:
    values = {"a-x-1": 0.9, "b-y-1": 0.6, "a-x-2": 0.8, "b-x-2": 0.7}
    logs, options = compared(tmp_path, values), Options(metric="val_miou")
    assert compute(logs, options).retuned.apart == (1,)
    [section] = [
        section
        for section in report(logs, options, date(2026, 1, 1)).sections
        if section.title == "Length with the schedule tuned anew"
    ]
    texts = [block.text for block in section.blocks if isinstance(block, Text)]
    assert any("at length 1 no combination of labels" in text for text in texts), texts


def write_search(folder: Path, planned: dict[str, dict[str, str]]) -> None:
    facts = {"study": "s", "metric": "val_miou", "mode": "max", "options": {}, "planned": planned}
    (folder / "search.json").write_text(json.dumps(facts))


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    folder = tmp_path / "matrix"
    write_run(folder, "a-city", 4, 0.5)
    write_run(folder, "b-city", 1, 0.4, status="failed")
    rows = [
        {"folder": "a-city", "strategy": "a", "dataset": "city", "length": 4},
        {"folder": "b-city", "strategy": "b", "dataset": "city", "length": 4, "status": "failed"},
    ]
    write_table(folder, rows)
    planned = {f"{s}-city": {"strategy": s, "dataset": "city"} for s in "abc"}
    write_search(folder, planned)
    return folder


def test_the_axes_of_a_matrix_are_labels_and_no_hyperparameters(matrix: Path) -> None:
    logs = read_logs([matrix])
    assert logs.runs["label:strategy"].tolist() == ["a", "b"]
    assert "param:strategy" not in logs.runs or logs.runs["param:strategy"].isna().all()


@pytest.mark.parametrize("above", [False, True])
def test_runs_of_a_matrix_without_a_log_are_pending(matrix: Path, above: bool) -> None:
    logs = read_logs([matrix.parent if above else matrix])
    tables = compute(logs, Options(metric="val_miou"))
    states = tables.runs.set_index("strategy")["state"].to_dict()
    assert states == {"a": COMPLETE, "b": FAILED, "c": PENDING}


def test_the_states_stand_in_the_report(matrix: Path) -> None:
    document = report(read_logs([matrix]), Options(metric="val_miou"), date(2026, 1, 1))
    details = document.sections[-1]
    [states] = [block for block in details.blocks if getattr(block, "name", "") == "states"]
    shown = {row[0].text: row[1].text for row in states.rows}  # type: ignore[union-attr]
    assert shown == {"complete": "1", "failed": "1", "pending": "1"}
    assert "1 failed and 1 pending" in document.summary
