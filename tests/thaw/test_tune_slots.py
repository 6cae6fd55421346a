"""`thaw tune-slots`: what is recommended, by hand-made counts, and the real command once."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.thaw.helpers import Thaw, text_of
from thaw.cli import app
from thaw.heaviest import Trial, first_trial
from thaw.side_by_side import Count, NoMemory, Processes, _answer, _Paced, _serve
from thaw.tune_slots import Row, best, climb, flags, limit
from thaw.tune_slots_view import table_of
from training.device_share import DEVICE_CACHE
from training.errors import UserError

STUDY = "unfreeze_timing"
GIB = 2**30
ROOT = Path(__file__).parents[2]
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
from thaw.cli import main
sys.argv = ["thaw", "tune-slots", "unfreeze_timing", "--most", "1", "--seconds", "600"]
if __name__ == "__main__":
    main()
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trial() -> Trial:
    return first_trial(STUDY, ["head_lr=0.002"], None)


def count(steps: int, **fields: int | float) -> Count:
    """Return what a process did in 10 s."""
    alone = Count(
        steps=steps,
        seconds=10.0,
        segments=0,
        segments_s=0.0,
        memory_bytes=2 * GIB,
        free_bytes=100 * GIB,
        refused=0,
    )
    return replace(alone, **fields)  # type: ignore[arg-type]


def test_steps_that_are_replayed_are_counted_by_segments(trial: Trial) -> None:
    ours, theirs = multiprocessing.Pipe()
    settings = trial.work.settings
    compute = settings.compute.model_copy(update={"cuda_graphs": True})
    paced = _Paced(trial.work.spec.build_task(), theirs, replace(settings, compute=compute))
    chosen, draws = torch.arange(4), torch.Generator()
    for _ in range(9):
        paced.draw(chosen, settings, draws)
    assert not ours.poll(), "it rested within a segment"
    for _ in range(2):
        ours.send((time.monotonic(), time.monotonic()))
        paced.end_segment(40)
        assert ours.recv().steps == 40


def rows_of(*trials_per_hour: float) -> list[Row]:
    return [
        Row(trials=n, trials_per_hour=rate, gain=rate / trials_per_hour[0], memory_bytes=GIB)
        for n, rate in enumerate(trials_per_hour, 1)
    ]


@pytest.mark.parametrize(
    ("rates", "num"),
    [
        ([10], 1),
        ([10, 9], 1),
        ([10, 10.4], 1),
        ([10, 10.6], 2),
        ([10, 18, 24, 25], 3),
        ([10, 10.2, 20], 1),
    ],
)
def test_the_last_that_pays_is_recommended(rates: list[float], num: int) -> None:
    assert best(rows_of(*rates)).trials == num


@pytest.mark.parametrize(
    ("num", "device", "option"),
    [
        (1, "cuda", "--gpus-per-trial 1"),
        (3, "cuda", "--gpus-per-trial 0.333"),
        (4, "cuda", "--gpus-per-trial 0.25"),
        (2, "cpu", "--max-concurrent 2"),
    ],
)
def test_the_option_is_the_searchs_own(num: int, device: str, option: str) -> None:
    assert flags(num, device) == option
    name, value = option.split()
    text = CliRunner().invoke(app, ["search", "--help"], env={"COLUMNS": "200"}).output
    assert name in text
    if device == "cuda":
        assert int(1 / float(value) + 1e-9) == num, "as thaw.cluster counts what fits"


def test_trials_per_hour_by_hand(trial: Trial) -> None:
    num_steps, num = trial.work.settings.num_steps, trial.num_segments
    rows, ended = climb(trial, lambda n: [count(5 * num_steps)] * n, 2)
    assert ended == ""
    assert [row.trials_per_hour for row in rows] == pytest.approx([1800 / num, 3600 / num])
    assert [row.gain for row in rows] == [1.0, 2.0]
    assert [row.memory_bytes for row in rows] == [2 * GIB] * 2


def test_whole_segments_count_where_there_are_many(trial: Trial) -> None:
    found = count(10**6, segments=6, segments_s=8.0)
    (row, *_), _ = climb(trial, lambda n: [found] * n, 2)
    assert row.trials_per_hour == pytest.approx(3600 * 6 / 8 / trial.num_segments)
    (row, *_), _ = climb(trial, lambda n: [found] * n, 3)
    steps = 10**6 / trial.work.settings.num_steps / 10
    assert row.trials_per_hour == pytest.approx(3600 * steps / trial.num_segments), "too few for 3"


def test_it_ends_where_one_more_does_not_pay(trial: Trial) -> None:
    steps = {1: 100, 2: 80, 3: 54}

    def measure(num: int) -> Sequence[Count]:
        return [count(steps[num])] * num

    rows, ended = climb(trial, measure, 4)
    assert [row.trials for row in rows] == [1, 2, 3] and best(rows).trials == 2
    assert ended == "one more gave less than 5% more"


@pytest.mark.parametrize("refused_alone", [0, 3])
def test_it_ends_where_the_device_refuses_memory(refused_alone: int, trial: Trial) -> None:
    def measure(num: int) -> Sequence[Count]:
        return [count(100, refused=refused_alone + (num == 3))] * num

    rows, ended = climb(trial, measure, 4)
    assert len(rows) == 2 and ended == "there is no memory for 3"


def test_it_ends_before_memory_does(trial: Trial) -> None:
    tried: list[int] = []

    def measure(num: int) -> Sequence[Count]:
        tried.append(num)
        return [count(100, free_bytes=5 * GIB - 2 * GIB * num)] * num

    _, ended = climb(trial, measure, 4)
    assert tried == [1, 2] and ended == "there is no memory for 3"


def test_one_that_does_not_fit_ends_it(trial: Trial) -> None:
    def measure(num: int) -> Sequence[Count]:
        if num == 2:
            raise NoMemory("killed")
        return [count(100)] * num

    rows, ended = climb(trial, measure, 4)
    assert len(rows) == 1 and ended == "there is no memory for 2"


def test_a_window_without_steps_is_refused(trial: Trial) -> None:
    with pytest.raises(UserError, match=r"--seconds: too short for 3 steps; .* from about 15"):
        climb(trial, lambda num: [count(2)] * num, 2)


def test_the_heaviest_stage_stands_for_all(trial: Trial) -> None:
    assert trial.stage == "full"
    assert all(value is not None for _, value in trial.work.settings.multipliers)
    assert trial.num_segments == trial.work.spec.schedule.num_epochs


def test_no_more_are_tried_than_there_are_cpus() -> None:
    cpus = len(os.sched_getaffinity(0))
    assert limit(cpus)[0] == cpus and "--most" in limit(cpus)[1]
    assert limit(cpus + 1)[0] == cpus and str(cpus) in limit(cpus + 1)[1]


def test_the_table_fits_a_narrow_terminal() -> None:
    text = text_of(table_of(rows_of(358.3, 491.1)), 80)
    assert "1.37 x" in text and "1.00 GiB" in text and max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("unfreeze_timng",), "unknown study 'unfreeze_timng' (did you mean 'unfreeze_timing'?)"),
        ((STUDY, "--set", "hed_lr=1"), "unknown key in --set: 'hed_lr'"),
        ((STUDY, "--data", "nowhere"), "data folder nowhere: no such folder"),
        ((STUDY, "--seconds", "0"), "Invalid value for '--seconds'"),
        ((STUDY, "--most", "0"), "Invalid value for '--most'"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], message: str, thaw: Thaw) -> None:
    assert thaw.refused("tune-slots", *arguments).startswith(message)


def test_its_help_has_an_example() -> None:
    text = CliRunner().invoke(app, ["tune-slots", "--help"], env={"COLUMNS": "200"}).output
    assert "thaw tune-slots" in text.split("Example", 1)[1]


def test_it_measures_and_leaves_nothing(thaw: Thaw, tmp_path: Path) -> None:
    code, out, err = thaw("tune-slots", STUDY, "--most", 2, "--seconds", 2, "--json")
    assert code == 0, err
    found = json.loads(out)
    num = len(found["rows"])
    assert num == limit(2)[0] or "%" in found["ended"]
    assert [row["trials"] for row in found["rows"]] == list(range(1, num + 1))
    assert found["rows"][0]["gain"] == 1.0
    assert all(row["trials_per_hour"] > 0 for row in found["rows"])
    assert all(row["memory_bytes"] > 10**8 for row in found["rows"])
    assert found["flags"].endswith(str(found["recommended"])) or found["device"] == "cuda"
    assert multiprocessing.active_children() == [] and list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_had_no_memory(trial: Trial, tmp_path: Path) -> None:
    with Processes(replace(trial.work, store=str(tmp_path))) as processes:
        assert processes.add().steps == 3
        (child,) = multiprocessing.active_children()
        child.kill()
        with pytest.raises(NoMemory):
            processes.measure(0.1)
    assert multiprocessing.active_children() == []


def test_what_is_wrong_in_a_process_is_told(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_CACHE, "2")
    ours, theirs = multiprocessing.Pipe()
    _serve(replace(trial.work, store=str(tmp_path)), theirs)
    with pytest.raises(UserError, match="THAW_DEVICE_CACHE='2'"):
        _answer(multiprocessing.current_process(), ours)
    ours.close()
    theirs.close()


def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    run = subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _wait_for(lambda: list(tmp_path.glob("thaw-tune-*/0/*")), "nothing was trained", 120)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, told = run.communicate(timeout=60)
        assert run.returncode == 130, told
        assert "Traceback" not in told, told
        _wait_for(lambda: not _alive(run.pid), "processes are left", 10)
        assert list(tmp_path.glob("thaw-tune-*")) == []
    finally:
        if _alive(run.pid):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def _wait_for(holds: Callable[[], object], failing: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, failing
        time.sleep(0.1)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
