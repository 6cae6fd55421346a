"""The table of a search: what a row keeps, how rows are ranked, what the files say."""

import csv
import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from search_spaces.columns import check_columns
from thaw.reading import SEARCH, TABLE
from thaw.results import JOURNAL, Journal, Row, Table, count, read_search, write_search
from training.errors import UserError

SEARCHED = {"metric": "val_accuracy", "mode": "max", "options": {}}


def result(value: float, epoch: int) -> dict[str, Any]:
    return {
        "val_accuracy": value,
        "epoch": epoch,
        "key": f"key{epoch}",
        "segment": epoch,
        "event": "plateau: head ends" if epoch == 2 else "",
        "device_s": 1.5,
        "cost_s": 1.5 * epoch,
    }


def row_after(*values: float, mode: str = "max") -> Row:
    row = Row("0000", {})
    for epoch, value in enumerate(values, 1):
        row.update(result(value, epoch), "val_accuracy", mode, trained=epoch > 1)
    return row


def table(*bests: float, mode: str = "max") -> Table:
    rows = {str(n): Row(f"{n:04}", {"lr": 0.1 * n}, best=best) for n, best in enumerate(bests)}
    return Table("val_accuracy", mode, rows)


@pytest.mark.parametrize(
    ("mode", "values", "best", "last", "key"),
    [
        ("max", (0.5, 0.9, 0.7), 0.9, 0.7, "key2"),
        ("min", (0.5, 0.9, 0.7), 0.5, 0.7, "key1"),
        ("max", (math.nan, 0.4, 0.3), 0.4, 0.3, "key2"),
        ("max", (0.4, math.nan), 0.4, 0.4, "key1"),
        ("max", (0.4, 0.4), 0.4, 0.4, "key1"),
        ("min", (math.nan, 0.0), 0.0, 0.0, "key2"),
    ],
)
def test_a_row_keeps_the_best_and_the_last_value(
    mode: str, values: tuple[float, ...], best: float, last: float, key: str
) -> None:
    row = row_after(*values, mode=mode)
    assert (row.best, row.last, row.best_key) == (best, last, key)


def test_a_row_without_a_value_has_nan_and_no_key() -> None:
    row = row_after(math.nan)
    assert math.isnan(row.best) and math.isnan(row.last) and row.best_key == ""


def test_a_row_counts_epochs_segments_and_seconds() -> None:
    row = row_after(0.5, 0.6, 0.7)
    assert (row.epochs, row.segments_trained, row.segments_reused) == (3, 2, 1)
    assert row.decisions == "segment 2: plateau: head ends"
    assert (row.device_s, row.cost_s) == (3.0, 4.5), "what it trained, and what it costs alone"


def test_a_segment_that_is_reported_again_counts_once() -> None:
    row = row_after(0.5, 0.6)
    row.update(result(0.5, 1), "val_accuracy", "max", trained=False)
    assert (row.segments_trained, row.segments_reused, row.last) == (1, 1, 0.6)


def test_a_row_is_read_back_from_the_file(tmp_path: Path) -> None:
    row = Row("0007", {"lr": 0.002, "policy": "train"}, "failed", "failed: x", 0.5, 0.25, "abc")
    write_search(tmp_path, SEARCHED)
    Table("val_accuracy", "max", {"a": row}).write(tmp_path)
    assert Row.from_plain(read_search(tmp_path)[1][0], "val_accuracy") == row


def test_a_table_is_written_again_when_twenty_times_its_writing_have_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count()  # a second passes between two looks at it, so writing takes one
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    kept = table(0.5)

    def is_written() -> bool:
        (tmp_path / TABLE).unlink(missing_ok=True)
        kept.write_soon(tmp_path)
        return (tmp_path / TABLE).exists()

    assert [is_written() for _ in range(21)] == [True, *[False] * 19, True]


def test_the_journal_remembers_who_trained_what(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.trained("0000", "a", reused=False)
    assert not journal.trained("0001", "a", reused=True)
    again = Journal(tmp_path)
    assert again.trained("0000", "a", reused=True)
    assert not again.trained("0001", "a", reused=True)


def test_the_segment_in_flight_belongs_to_the_trial_that_was_cut_off(tmp_path: Path) -> None:
    Journal(tmp_path).trained("0000", "a", reused=False)
    again = Journal(tmp_path)
    assert again.trained("0000", "b", reused=True)
    assert not again.trained("0000", "c", reused=True)


def test_what_was_given_is_the_trials_own_once_it_comes_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.given("0001", "a")
    journal.given("0001", "b")
    assert journal.num_given == 2
    assert journal.trained("0001", "a", reused=True)
    assert not journal.trained("0002", "a", reused=True)
    assert journal.num_given == 1
    again = Journal(tmp_path)
    assert again.trained("0001", "a", reused=True)
    assert again.num_given == 1, "b is still to come"


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    path.write_text("0000 aa trained\n0001 b", encoding="utf-8")
    Journal(tmp_path).trained("0002", "cc", reused=False)
    assert path.read_text(encoding="utf-8").splitlines()[2:] == ["0002 cc trained"]
    assert Journal(tmp_path).trained("0002", "cc", reused=True)


def test_the_pareto_front_holds_finished_trials_that_nobody_beats_for_less() -> None:
    measured = {"0": (0.5, 1.0), "1": (0.4, 2.0), "2": (0.7, 3.0), "3": (0.7, 4.0), "4": (0.9, 9.0)}
    rows = {
        name: Row(name, {}, best=best, cost_s=cost_s, status="finished")
        for name, (best, cost_s) in measured.items()
    }
    rows["5"] = Row("5", {}, best=0.99, cost_s=0.5, status="stopped")
    assert [row.trial for row in Table("val_accuracy", "max", rows).pareto()] == ["0", "2", "4"]
    for row in rows.values():
        row.best = 1 - row.best
    assert [row.trial for row in Table("val_loss", "min", rows).pareto()] == ["0", "2", "4"]


@pytest.mark.parametrize(
    ("mode", "order"),
    [
        ("max", ["0003", "0001", "0004", "0000", "0002"]),
        ("min", ["0004", "0001", "0003", "0000", "0002"]),
    ],
)
def test_rows_are_ranked_with_those_without_a_value_last(mode: str, order: list[str]) -> None:
    ranked = table(math.nan, 0.5, math.nan, 0.9, 0.1, mode=mode).ranked()
    assert [row.trial for row in ranked] == order


def test_equal_rows_stay_in_the_order_in_which_they_began() -> None:
    assert [row.trial for row in table(0.5, 0.5, 0.5).ranked()] == ["0000", "0001", "0002"]


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    row = Row(
        "0007",
        {"head_lr": 0.002, "policy": "train, or not"},
        status="stopped",
        ended='stopped by "ASHA" at epoch 3',
        best=0.912345678,
        last=0.5,
        best_key="abc",
        epochs=3,
        segments_trained=2,
        segments_reused=7,
        device_s=1.23456,
        cost_s=2.5,
        folder="0007",
        decisions="segment 2: plateau: head ends",
    )
    write_search(tmp_path, SEARCHED)
    Table("val_accuracy", "max", {"a": row}).write(tmp_path)
    facts, rows = read_search(tmp_path)
    assert facts["metric"] == "val_accuracy"
    assert rows == [
        {
            "trial": "0007",
            "head_lr": "0.002",
            "policy": "train, or not",
            "best_val_accuracy": "0.912346",
            "last_val_accuracy": "0.5",
            "epochs": "3",
            "segments_trained": "2",
            "segments_reused": "7",
            "device_s": "1.235",
            "cost_s": "2.5",
            "status": "stopped",
            "ended": 'stopped by "ASHA" at epoch 3',
            "decisions": "segment 2: plateau: head ends",
            "best_key": "abc",
            "folder": "0007",
        }
    ]


def test_no_dimension_may_be_called_like_any_other_column() -> None:
    for column in Row("0000", {}).plain("val_loss"):
        with pytest.raises(UserError, match=f"^dimension {column}: is a column of trials.csv"):
            check_columns([column], "val_loss", "dimension")
    check_columns(["lr", "head_epochs", "best_val_accuracy"], "val_loss", "dimension")


def test_no_value_is_an_empty_cell(tmp_path: Path) -> None:
    table(math.nan).write(tmp_path)
    with (tmp_path / TABLE).open(newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["best_val_accuracy"], row["last_val_accuracy"]) == ("", "")


def test_trials_with_other_parameters_have_empty_cells(tmp_path: Path) -> None:
    rows = {"a": Row("0000", {"x": 1}), "b": Row("0001", {"y": 2})}
    Table("val_accuracy", "max", rows).write(tmp_path)
    with (tmp_path / TABLE).open(newline="") as file:
        assert [(row["x"], row["y"]) for row in csv.DictReader(file)] == [("1", ""), ("", "2")]


def test_a_table_without_trials_can_be_read(tmp_path: Path) -> None:
    write_search(tmp_path, SEARCHED)
    table().write(tmp_path)
    assert read_search(tmp_path) == (SEARCHED, [])


def test_nothing_but_the_table_is_left_in_the_folder(tmp_path: Path) -> None:
    table(0.5).write(tmp_path)
    table(0.5, 0.6).write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [TABLE]


def test_a_folder_that_is_no_search_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results of a search") as caught:
        read_search(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)


@pytest.mark.parametrize("text", ["{", "", '{"metric": "val_accuracy"'])
def test_a_damaged_search_is_named(tmp_path: Path, text: str) -> None:
    table(0.5).write(tmp_path)
    (tmp_path / SEARCH).write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        read_search(tmp_path)


def test_states_are_counted() -> None:
    rows = [Row(str(n), {}, status=s) for n, s in enumerate(("stopped", "finished", "stopped"))]
    assert count(rows) == {"stopped": 2, "finished": 1}
