"""Restarts, copies and repeated steps: what becomes one run, and with which values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.merging import join
from analysis.part import MAX_POINTS, Part
from analysis.readers.reader import Row
from tests.analysis.samples import (
    HF,
    SAMPLES,
    TUNE,
    curves,
    jsonl,
    mmcv,
    read,
    records,
    runs,
    scalar,
)

CSV = "step,loss\n"
T1, T2, T3 = "20230101_000000", "20230102_000000", "20230103_000000"


def part(*points: tuple[float, float], wall_s: float = math.nan, metric: str = "loss") -> Part:
    found = Part()
    for step, value in points:
        found.add(Row(step, {metric: value}, wall_s=wall_s + step))
    return found


def joined(*parts: Part) -> dict[float, float]:
    curve = join(parts).curves["loss"]
    return dict(zip(curve.step.tolist(), curve.value.tolist(), strict=True))


POINTS = st.lists(st.tuples(st.integers(0, 30).map(float), st.floats(-9, 9)), max_size=40)


@given(pieces=st.lists(POINTS, min_size=1, max_size=4).filter(any))
def test_the_later_value_of_a_step_is_kept(pieces: list[list[tuple[float, float]]]) -> None:
    oracle = {step: value for piece in pieces for step, value in piece}
    found = join([part(*piece) for piece in pieces])
    curve = found.curves["loss"]
    left = sorted(oracle) if not found.num_abandoned else curve.step.tolist()
    assert curve.step.tolist() == left
    assert curve.value.tolist() == [oracle[step] for step in left]
    assert found.num_merged == sum(map(len, pieces)) - found.num_abandoned - len(left)


@given(rows=st.lists(st.tuples(st.integers(0, 9), st.sets(st.sampled_from("abc"), min_size=1))))
def test_metrics_that_come_in_changing_company_keep_their_order(
    rows: list[tuple[int, set[str]]],
) -> None:
    found, oracle = Part(), dict[str, dict[int, float]]()
    for place, (step, metrics) in enumerate(rows):
        found.add(Row(float(step), dict.fromkeys(sorted(metrics), float(place))))
        for metric in metrics:
            oracle.setdefault(metric, {})[step] = float(place)
    done = join([found])
    for name, curve in done.curves.items():
        left = curve.step.tolist() if done.num_abandoned else sorted(oracle[name])
        expected = [oracle[name][step] for step in left]
        assert (curve.step.tolist(), curve.value.tolist()) == (left, expected)


def test_a_resumed_log_goes_before_what_it_repeats(tmp_path: Path) -> None:
    rows = [(10, 5), (20, 4), (30, 9), (20, 3), (30, 2), (40, 1)]
    logs = read(tmp_path, {"a.csv": CSV + "".join(f"{s},{v}\n" for s, v in rows)})
    assert curves(logs) == {"loss": [(10, 5), (20, 3), (30, 2), (40, 1)]}
    assert logs.runs["merged_points"].item() == 2
    assert logs.notes == (
        "2 points repeated a step of their run: the later value was kept: a (2).",
    )


def steps_of(rows: Iterable[float]) -> list[float]:
    found = join([part(*((step, 0.0) for step in rows))])
    return found.curves["loss"].step.tolist()


def test_a_run_that_resumed_and_ended_earlier_ends_there(tmp_path: Path) -> None:
    rows = [(10, 5), (20, 4), (30, 3), (40, 9), (20, 2), (30, 1)]
    logs = read(tmp_path, {"a.csv": CSV + "".join(f"{s},{v}\n" for s, v in rows)})
    assert curves(logs) == {"loss": [(10, 5), (20, 2), (30, 1)]}
    assert logs.notes[1] == (
        "1 points of a run that resumed and ended before them were left out: a (1)."
    )


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([10, 30, 20, 40, 50], "the file is not sorted"),
        ([50, 40, 30, 20, 10] * 2, "the file is sorted backwards, twice"),
        ([10, 20, 10, 20, 30, 40, 30, 40, 50, 60, 50], "two processes write to the file"),
        ([10, 20, 30, 40, 50, 20], "one step was evaluated again"),
        ([10, 20, 30, 40, 50, 25, 35], "the steps are others"),
    ],
)
def test_nothing_is_given_up_where(rows: list[float], why: str) -> None:
    assert steps_of(rows) == sorted(set(rows)), why


def test_a_run_may_resume_and_end_earlier_more_than_once() -> None:
    once = [*range(100), *range(50, 80), *range(60, 70)]
    assert steps_of(once) == list(range(70))
    assert steps_of([*once, *range(65, 90)]) == list(range(90))


def test_a_metric_that_is_logged_more_rarely_is_cut_by_its_own_steps() -> None:
    found = Part()
    for step in (*range(10, 101, 10), *range(60, 81, 10)):
        rare = {"acc": 0.5} if step % 30 == 0 else {}
        found.add(Row(float(step), {"loss": 1.0, **rare}))
    found.add(Row(3.0, {"by epoch": 1.0}))
    ends = {name: curve.step[-1] for name, curve in join([found]).curves.items()}
    assert ends == {"loss": 80, "acc": 90, "by epoch": 3}


def test_a_later_file_that_ended_earlier_ends_the_run() -> None:
    first, later = part(*((n, 1.0) for n in range(9))), part(*((n, 2.0) for n in range(4, 7)))
    assert list(joined(first, later)) == list(range(7))


def test_files_of_single_evaluations_give_nothing_up() -> None:
    found = [part((step, 0.5)) for step in (1, 2, 3, 4, 5, 6, 2, 3)]
    assert list(joined(*found)) == [1, 2, 3, 4, 5, 6]


def test_of_files_that_are_written_at_one_time_none_ends_the_run() -> None:
    first = part(*((n, 1.0) for n in range(9)), wall_s=1.7e9)
    beside = part(*((n, 2.0) for n in range(5)), wall_s=1.7e9)
    assert list(joined(first, beside)) == list(range(9))
    later = part(*((n, 2.0) for n in range(5)), wall_s=1.8e9)
    assert list(joined(first, later)) == list(range(5))


def test_the_order_of_steps_in_a_file_does_not_matter(tmp_path: Path) -> None:
    logs = read(tmp_path, {"a.csv": CSV + "3,1\n1,3\n2,2\n"})
    assert curves(logs) == {"loss": [(1, 3), (2, 2), (3, 1)]}
    assert logs.notes == ()


def mm_steps(logs_of: dict[str, str], tmp_path: Path) -> dict[str, list[float]]:
    logs = read(tmp_path, {f"work/{name}.log.json": text for name, text in logs_of.items()})
    return {run: [step for step, _ in curves(logs, run)["train/loss"]] for run in runs(logs)}


FIRST, NEXT = range(50, 301, 50), range(250, 501, 50)


def test_a_run_that_was_resumed_in_a_new_file_is_one(tmp_path: Path) -> None:
    found = mm_steps({T1: mmcv(FIRST), T2: mmcv(NEXT)}, tmp_path)
    assert found == {"work": list(range(50, 501, 50))}


def test_the_later_file_goes_before_the_earlier_one(tmp_path: Path) -> None:
    files = {f"work/{T2}.log.json": mmcv(NEXT, 0.9), f"work/{T1}.log.json": mmcv(FIRST, 0.1)}
    logs = read(tmp_path, files)
    values = [value for _, value in curves(logs)["mIoU"]]
    np.testing.assert_allclose(values, [0.1001, 0.1002, 0.9003, 0.9004, 0.9005])


def test_a_run_that_began_again_and_went_further_is_one(tmp_path: Path) -> None:
    logs = read(
        tmp_path,
        {f"work/{T1}.log.json": mmcv(FIRST), f"work/{T2}.log.json": mmcv(range(50, 501, 50), 0.9)},
    )
    assert runs(logs) == ["work"]
    assert any("Begun again" in note for note in logs.notes)


def test_two_whole_runs_in_one_folder_stay_two(tmp_path: Path) -> None:
    found = mm_steps({T1: mmcv(FIRST, 0.1), T2: mmcv(FIRST, 0.2)}, tmp_path)
    assert found == {f"work/{T1}": list(FIRST), f"work/{T2}": list(FIRST)}


def test_other_metrics_in_one_folder_are_another_run(tmp_path: Path) -> None:
    row = {"lr": 0.1, "epoch": 1, "memory": 1}
    one = jsonl(*({**row, "iter": n, "step": n, "loss_kpt": 1.0} for n in (1, 2)))
    two = jsonl(*({**row, "iter": n, "step": n, "loss_cls": 1.0, "acc": 2.0} for n in (9, 10)))
    files = {f"work/{T1}/vis_data/scalars.json": one, "work/vis_data/scalars.json": two}
    assert runs(read(tmp_path, files)) == ["work", f"work/{T1}"]


def test_a_copy_under_the_time_of_its_start_is_read_once(tmp_path: Path) -> None:
    sample = next(sample for sample in SAMPLES if sample.path.endswith("scalars.json"))
    copy = str(Path(sample.path).with_name(f"{T1}.json"))
    logs = read(tmp_path, {sample.path: sample.data, copy: sample.data})
    assert len(logs.points) == sum(map(len, sample.curves.values()))
    assert logs.runs["merged_points"].item() == 0
    assert any(note.startswith("In several files, and read from one") for note in logs.notes)


def test_the_longer_one_of_two_copies_is_read(tmp_path: Path) -> None:
    files = {"a/work/metrics.csv": "", f"work/{T1}.log.json": mmcv(FIRST)}
    longer = mmcv(range(50, 401, 50))
    for name in (f"work/vis_data/{T1}.json", f"work/vis_data/{T1}.log.json"):
        logs = read(tmp_path / name, {**files, name: longer})
        assert [step for step, _ in curves(logs)["train/loss"]] == list(range(50, 401, 50))
        assert logs.runs["merged_points"].item() == 0


def test_text_and_json_of_one_process_are_one_run(tmp_path: Path) -> None:
    text = next(sample for sample in SAMPLES if sample.kind == "openmmlab text").data
    logs = read(tmp_path, {f"work/{T1}.log": text, f"work/{T1}.log.json": mmcv(FIRST)})
    assert list(logs.runs["kind"]) == ["openmmlab json"]
    assert f"work/{T1}.log" in logs.runs["files"].item()


def test_a_trial_of_tune_is_read_from_its_json(tmp_path: Path) -> None:
    event = records(scalar(1, "ray/tune/val_loss", 9.0))
    table = "val_loss,training_iteration,time_total_s\n7.0,1,2.0\n"
    logs = read(
        tmp_path,
        {"t/result.json": jsonl(*TUNE), "t/progress.csv": table, "t/events.out.tfevents.1": event},
    )
    assert curves(logs)["val_loss"] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert logs.runs["files"].item() == "t/result.json; t/progress.csv; t/events.out.tfevents.1"


def test_a_trial_whose_json_is_empty_is_read_from_its_table(tmp_path: Path) -> None:
    table = "val_loss,training_iteration,time_total_s\n7.0,1,2.0\n"
    logs = read(tmp_path, {"t/result.json": "", "t/progress.csv": table})
    assert list(logs.runs["kind"]) == ["ray tune csv"]


def test_events_of_a_table_are_no_second_run(tmp_path: Path) -> None:
    table = "step,epoch,val_acc\n1,0,0.5\n2,0,0.75\n3,0,0.8\n"
    event = records(
        *(scalar(n, "val/acc", v) for n, v in ((1, 0.5), (2, 0.75), (3, 0.8), (4, 0.9)))
    )
    logs = read(tmp_path, {"a/metrics.csv": table, "a/events.out.tfevents.1": event})
    assert runs(logs) == ["a"]
    assert curves(logs) == {"val_acc": [(1, 0.5), (2, 0.75), (3, 0.8)]}
    assert any("with 1 points more that are not used" in note for note in logs.notes)


def test_events_of_something_else_are_another_run(tmp_path: Path) -> None:
    table = "step,val_acc\n1,0.5\n2,0.75\n"
    event = records(scalar(1, "reward", 3.0), scalar(2, "reward", 4.0))
    logs = read(tmp_path, {"a/metrics.csv": table, "a/events.out.tfevents.1": event})
    assert runs(logs) == ["a/events", "a/metrics"]


def test_event_files_of_one_folder_are_one_run(tmp_path: Path) -> None:
    first = records(scalar(1, "acc", 0.25), scalar(2, "acc", 0.5))
    later = records(scalar(2, "acc", 0.75, 1.8e9), scalar(3, "acc", 1.0, 1.8e9))
    logs = read(tmp_path, {"r/events.tfevents.2": first, "r/events.tfevents.1": later})
    assert curves(logs, "r") == {"acc": [(1, 0.25), (2, 0.75), (3, 1.0)]}


def test_the_pause_before_a_restart_is_not_counted(tmp_path: Path) -> None:
    first = records(scalar(1, "acc", 0.25), scalar(2, "acc", 0.5))
    later = records(scalar(3, "acc", 0.75, 1.8e9), scalar(4, "acc", 1.0, 1.8e9))
    logs = read(tmp_path, {"r/events.tfevents.1": first, "r/events.tfevents.2": later})
    assert list(logs.points["wall_s"]) == [0, 1, 1, 2]


def test_files_that_are_written_at_one_time_share_a_clock(tmp_path: Path) -> None:
    one = records(scalar(1, "loss", 0.25), scalar(9, "loss", 0.5))
    two = records(scalar(5, "acc", 0.75), scalar(9, "acc", 0.5))
    logs = read(tmp_path, {"r/events.tfevents.1": one, "r/events.tfevents.2": two})
    assert list(logs.points["wall_s"]) == [4, 8, 0, 8]


def test_a_clock_that_begins_again_goes_on() -> None:
    first, later = part((1, 1), (2, 1), wall_s=0.0), part((3, 1), (4, 1), wall_s=-3.0)
    assert join([first, later]).curves["loss"].wall_s.tolist() == [1, 2, 2, 3]


def test_checkpoints_of_hugging_face_are_parts_of_one_run(tmp_path: Path) -> None:
    history = HF["log_history"]
    assert isinstance(history, list)
    early = {**HF, "global_step": 10, "log_history": history[:2]}
    logs = read(
        tmp_path,
        {
            "out/checkpoint-10/trainer_state.json": json.dumps(early),
            "out/checkpoint-20/trainer_state.json": json.dumps(HF),
            "out/runs/Jan01/events.out.tfevents.1": records(scalar(10, "eval/loss", 2.0)),
        },
    )
    assert runs(logs) == ["out"]
    assert curves(logs)["loss"] == [(10, 2.5), (20, 1.5)]
    assert (logs.runs["merged_points"].item(), logs.runs["status"].item()) == (0, "finished")


def test_runs_with_the_same_points_are_noted_and_kept(tmp_path: Path) -> None:
    text = CSV + "1,3\n2,2\n3,1\n"
    logs = read(tmp_path, {"a.csv": text, "b.csv": text})
    assert runs(logs) == ["a", "b"]
    assert any(note.startswith("The same points in several runs") for note in logs.notes)


def test_a_metric_with_too_many_points_is_thinned_evenly() -> None:
    num = 5 * MAX_POINTS
    found = Part()
    for step in range(num):
        found.add(Row(float(step), {"loss": float(step)}))
    done = join([found])
    steps = done.curves["loss"].step
    assert MAX_POINTS // 4 < len(steps) <= MAX_POINTS + 1
    assert steps[0] == 0 and steps[-1] == num - 1
    assert len(np.unique(np.diff(steps[:-1]))) == 1
    assert done.num_thinned == {"loss": num - len(steps)}


def test_a_restart_meets_the_grid_of_what_it_repeats() -> None:
    """Of a thinned log no value of the part that was repeated is left."""
    found, num = Part(), 2 * MAX_POINTS
    for begin, value in ((0, 1.0), (num // 2, 2.0)):
        for step in range(begin, begin + num):
            found.add(Row(10.0 * step, {"loss": value}))
    curve = join([found]).curves["loss"]
    assert set(curve.value[curve.step < 5 * num]) == {1.0}
    assert set(curve.value[curve.step >= 5 * num]) == {2.0}


def test_few_validations_among_many_training_rows_are_all_kept() -> None:
    found = Part()
    for step in range(2 * MAX_POINTS):
        found.add(Row(float(step), {"train/loss": 1.0}))
        if step % 10_000 == 0:
            found.add(Row(float(step), {"mIoU": 0.5}))
    assert len(join([found]).curves["mIoU"].step) == math.ceil(2 * MAX_POINTS / 10_000)


@pytest.mark.parametrize(
    ("metric", "left"),
    [("mAP", 1), ("bbox_mAP_s", 1), ("coco/AR (M)", 1), ("loss", 2), ("mape", 2), ("param", 2)],
)
def test_minus_one_means_not_measured_in_precisions_only(metric: str, left: int) -> None:
    found = join([part((1, -1.0), (2, 0.5), metric=metric)])
    assert len(found.curves[metric].step) == left
