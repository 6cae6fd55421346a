"""The iteration at which OpenMMLab's logs wrote a row, whatever they count."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.analysis.samples import curves, jsonl, read


def train(epoch: int, at: int) -> dict[str, Any]:
    return {"mode": "train", "epoch": epoch, "iter": at, "lr": 0.1, "time": 0.5, "loss": 1.0}


def val(epoch: int, at: int) -> dict[str, Any]:
    return {"mode": "val", "epoch": epoch, "iter": at, "lr": 0.1, "acc": 0.5}


def steps(folder: Path, rows: Iterable[dict[str, Any]]) -> dict[str, list[float]]:
    """Return metric -> steps of a log with these rows."""
    found = curves(read(folder, {"a.log.json": jsonl(*rows)}))
    return {metric: [step for step, _ in curve] for metric, curve in found.items()}


def by_epochs(epochs: Iterable[int], length: int = 30) -> list[dict[str, Any]]:
    """Return a log that counts iterations within epochs, and batches in validation."""
    return [
        row
        for epoch in epochs
        for row in (*(train(epoch, at) for at in range(10, length + 1, 10)), val(epoch, 79))
    ]


def test_iterations_within_epochs_are_added_up(tmp_path: Path) -> None:
    found = steps(tmp_path, by_epochs([1, 2, 3]))
    assert found["train/loss"] == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert found["acc"] == [30, 60, 90]


def test_a_log_that_begins_at_a_later_epoch_is_added_up_too(tmp_path: Path) -> None:
    found = steps(tmp_path, by_epochs([5, 6]))
    assert (found["train/loss"][0], found["acc"]) == (130, [150, 180])


def test_a_log_of_one_later_epoch_is_added_up_too(tmp_path: Path) -> None:
    assert steps(tmp_path, by_epochs([4]))["acc"] == [120]


def test_iterations_of_the_whole_run_stay_as_they_are(tmp_path: Path) -> None:
    rows = [train(1 + at // 300, at) for at in range(50, 1001, 50)]
    assert steps(tmp_path, rows)["train/loss"] == list(range(50, 1001, 50))


def test_a_resumed_run_that_counts_iterations_stays_as_it_is(tmp_path: Path) -> None:
    rows = [train(65, at) for at in range(80_050, 80_301, 50)]
    assert steps(tmp_path, rows)["train/loss"][0] == 80_050


@pytest.mark.parametrize("batches", [7, 200, 500, 99_999])
def test_a_validation_that_counts_batches_lies_at_the_training(
    tmp_path: Path, batches: int
) -> None:
    rows = [train(1, 950), train(1, 1000), val(1, batches), train(1, 1050)]
    assert steps(tmp_path, rows)["acc"] == [1000]


def test_a_validation_between_two_training_rows_keeps_its_own_iteration(tmp_path: Path) -> None:
    rows = [train(1, 950), train(1, 1000), val(1, 1024), train(1, 1050)]
    assert steps(tmp_path, rows)["acc"] == [1024]


def test_a_validation_after_a_single_training_row_keeps_its_own_iteration(tmp_path: Path) -> None:
    """MMCV writes no training row at the iterations at which it validates."""
    rows = [train(1, 500), val(1, 1000), train(1, 1500), val(1, 2000), train(1, 2500)]
    assert steps(tmp_path, rows)["acc"] == [1000, 2000]


def test_several_validations_after_a_single_training_row_keep_theirs(tmp_path: Path) -> None:
    rows = [train(1, 500), val(1, 1000), val(1, 1500), train(1, 2500)]
    assert steps(tmp_path, rows)["acc"] == [1000, 1500]


@pytest.mark.parametrize("batches", [7, 35, 79])
def test_a_validation_in_epochs_of_a_single_training_row_counts_batches(
    tmp_path: Path, batches: int
) -> None:
    rows = [row for epoch in (1, 2, 3) for row in (train(epoch, 50), val(epoch, batches))]
    assert steps(tmp_path, rows)["acc"] == [50, 100, 150]


def test_validations_alone_are_at_their_iterations(tmp_path: Path) -> None:
    rows = [val(1 + at // 3000, at) for at in range(1000, 9001, 1000)]
    assert steps(tmp_path, rows)["acc"] == list(range(1000, 9001, 1000))


def test_validations_alone_that_count_batches_are_at_their_epochs(tmp_path: Path) -> None:
    assert steps(tmp_path, [val(epoch, 79) for epoch in (1, 2, 3)])["acc"] == [1, 2, 3]


def test_mmengine_by_iterations_keeps_them(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for at in range(50, 201, 50):
        rows.append({"lr": 0.1, "loss": 1.0, "time": 0.5, "iter": at, "memory": 9, "step": at})
        if at % 100 == 0:
            rows.append({"mIoU": 40.0, "data_time": 0.1, "time": 0.2, "step": at})
    assert steps(tmp_path, rows)["mIoU"] == [100, 200]


def test_a_record_without_an_iteration_is_broken(tmp_path: Path) -> None:
    rows = [train(1, 50), {"mode": "train", "epoch": 1, "lr": 0.1, "loss": 1.0}, train(1, 100)]
    logs = read(tmp_path, {"a.log.json": jsonl(*rows)})
    assert logs.runs["broken_lines"].item() == 1


def test_text_without_times_is_read(tmp_path: Path) -> None:
    logs = read(tmp_path, {"out.txt": "Iter(val) [1000] mIoU: 0.4\nIter(val) [2000] mIoU: 0.5\n"})
    assert curves(logs) == {"mIoU": [(1000, 0.4), (2000, 0.5)]}


def test_text_that_reached_its_end_is_finished(tmp_path: Path) -> None:
    line = "2021-04-09 22:33:22,345 - mmseg - INFO - Iter [{}/200]\tlr: 1.0e-02, loss: 4.1\n"
    files = {"a.log": line.format(100) + line.format(200), "b.log": line.format(100)}
    assert list(read(tmp_path, files).runs["status"]) == ["finished", ""]


def test_the_seconds_of_a_text_log_are_those_of_its_lines(tmp_path: Path) -> None:
    line = "2021-04-09 22:{}:00,345 - mmseg - INFO - Iter [{}/200]\tlr: 1.0e-02, loss: 4.1\n"
    logs = read(tmp_path, {"a.log": line.format("01", 50) + line.format("03", 100)})
    assert logs.points[logs.points["metric"] == "lr"]["wall_s"].tolist() == [0, 120]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(length=st.integers(2, 40), every=st.integers(1, 7), first=st.integers(1, 5))
def test_steps_rise_whatever_the_epochs_are(
    tmp_path: Path, length: int, every: int, first: int
) -> None:
    every = min(every, length)
    rows = [
        train(epoch, at)
        for epoch in range(first, first + 3)
        for at in range(every, length + 1, every)
    ]
    found = steps(tmp_path, rows)["train/loss"]
    assert len(found) == len(rows) and found == sorted(set(found))
