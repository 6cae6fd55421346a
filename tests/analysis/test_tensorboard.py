"""One TensorBoard folder from any logs, read back by TensorBoard itself; runs beside each other."""

import json
import math
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import masked_crc32c

from analysis.comparison import comparison
from analysis.crc32c import masked_crcs
from analysis.event_writer import FILE_NAME
from analysis.logs import LogError, Logs, read_logs
from analysis.tensorboard import folders, write_tensorboard
from tests.analysis.browser import CHROMIUM, HINT, Browser, assert_legible
from tests.analysis.samples import SAMPLES, curves, read, write

FILES = {
    "fog/metrics.csv": "step,epoch,val_loss,acc\n10,1,2.0,0.25\n20,2,1.0,0.75\n30,3,1.5,0.5\n",
    "fog/params.json": '{"lr": 0.5, "optimizer": "sgd", "nesterov": true}',
    "rain/metrics.csv": "step,epoch,acc\n10,1,0.5\n20,2,nan\n",
    "rain/params.json": '{"lr": 1, "optimizer": "adam", "nesterov": false}',
}


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return read(tmp_path / "logs", FILES, labels="{weather}")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read scalars as TensorBoard does."""
    found = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_tensorboard_reads_the_scalars_that_are_written(logs: Logs, tmp_path: Path) -> None:
    assert write_tensorboard(logs, tmp_path / "tb") == 2
    found = scalars(tmp_path / "tb" / "fog")
    assert found["acc"] == [(10, 0.25), (20, 0.75), (30, 0.5)]
    assert found["val_loss"] == [(10, 2.0), (20, 1.0), (30, 1.5)]
    assert (found["best/acc"], found["last/acc"]) == ([(30, 0.75)], [(30, 0.5)])
    assert (found["best/val_loss"], found["last/val_loss"]) == ([(30, 1.0)], [(30, 1.5)])


def test_a_value_that_is_not_finite_is_written_as_such(logs: Logs, tmp_path: Path) -> None:
    write_tensorboard(logs, tmp_path / "tb")
    (_, first), (step, value) = scalars(tmp_path / "tb" / "rain")["acc"]
    assert (first, step, math.isnan(value)) == (0.5, 20, True)


def test_all_formats_come_back_from_tensorboard(tmp_path: Path) -> None:
    for place, sample in enumerate(SAMPLES):
        sample.write(tmp_path / "logs" / str(place) / sample.path)
    logs = read_logs([tmp_path / "logs"])
    write_tensorboard(logs, tmp_path / "tb")
    for run in logs.runs.index:
        found = scalars(tmp_path / "tb" / run)
        for metric, curve in curves(logs, run).items():
            np.testing.assert_allclose(found[metric], curve, rtol=1e-6, err_msg=f"{run}: {metric}")


def test_the_same_logs_give_the_same_bytes(logs: Logs, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tensorboard(logs, tmp_path / name)
    one, two = ((tmp_path / name / "fog" / FILE_NAME).read_bytes() for name in ("one", "two"))
    assert one == two


def test_parameters_are_written_in_one_order(tmp_path: Path) -> None:
    """Protocol buffers write maps in an order that differs from process to process."""
    names = [f"p{number:02}" for number in range(30)]
    logs = read(
        tmp_path / "logs",
        {
            "a/metrics.csv": "step,acc\n1,0.5\n",
            "a/params.json": json.dumps({name: 1.0 for name in reversed(names)}),
        },
    )
    write_tensorboard(logs, tmp_path / "tb")
    data = (tmp_path / "tb" / "a" / FILE_NAME).read_bytes()
    assert re.findall(rb"p\d\d", data) == [name.encode() for name in names]


@given(parts=st.lists(st.binary(max_size=40), max_size=20), long=st.binary(min_size=1, max_size=3))
def test_checksums_are_those_of_tensorboard(parts: list[bytes], long: bytes) -> None:
    found = [*parts, long * 600, bytes(1024), bytes(1025)]
    assert masked_crcs(found) == [masked_crc32c(part) for part in found]


def test_the_folder_among_the_logs_is_not_read_again(logs: Logs, tmp_path: Path) -> None:
    write_tensorboard(logs, tmp_path / "logs" / "tb")
    again = read_logs([tmp_path / "logs"])
    assert list(again.runs.index) == list(logs.runs.index)
    assert {file.reason for file in again.unused} == {"written by thaw compare from other logs"}


def test_a_folder_that_cannot_be_written_is_one_line(logs: Logs, tmp_path: Path) -> None:
    write(tmp_path, {"file": "x"})
    with pytest.raises(LogError, match="file: cannot be written"):
        write_tensorboard(logs, tmp_path / "file")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a TensorBoard that shows the folder."""
    folder = tmp_path_factory.mktemp("board")
    write_tensorboard(read(folder / "logs", FILES, labels="{weather}"), folder / "tb")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "tb")]
    options = ["--port", "0", "--host", "localhost", "--load_fast", "false"]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as board:
        try:
            assert board.stderr is not None
            found = (re.search(r"http://\S+", line) for line in board.stderr)
            yield next(match[0] for match in found if match)
        finally:
            board.terminate()


def asked(address: str, question: dict[str, object]) -> dict[str, object]:
    request = urllib.request.Request(
        address,
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def test_the_hparams_page_shows_parameters_and_best_values(page: str) -> None:
    hparams = f"{page}data/plugin/hparams/"
    experiment: Any = asked(hparams + "experiment", {"experimentName": ""})
    assert {info["name"]: info["type"] for info in experiment["hparamInfos"]} == {
        "weather": "DATA_TYPE_STRING",
        "lr": "DATA_TYPE_FLOAT64",
        "optimizer": "DATA_TYPE_STRING",
        "nesterov": "DATA_TYPE_BOOL",
    }
    domains = {info["name"]: info.get("domainDiscrete") for info in experiment["hparamInfos"]}
    assert (domains["optimizer"], domains["weather"]) == (["adam", "sgd"], ["fog", "rain"])
    question = {"experimentName": "", "sliceSize": 9, "allowedStatuses": ["STATUS_UNKNOWN"]}
    found: Any = asked(hparams + "session_groups", question)
    groups = {group["hparams"]["weather"]: group for group in found["sessionGroups"]}
    params = {"weather": "fog", "lr": 0.5, "optimizer": "sgd", "nesterov": True}
    assert groups["fog"]["hparams"] == params
    assert {m["name"]["tag"]: m["value"] for m in groups["fog"]["metricValues"]} == {
        "best/acc": 0.75,
        "last/acc": 0.5,
        "best/val_loss": 1.0,
        "last/val_loss": 1.5,
    }


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile", 1400, 1000) as found:
        yield found


CHARTS = "document.querySelectorAll('card-view line-chart').length >= 2"
"""Charts are drawn when they come into view."""


@pytest.mark.skipif(not CHROMIUM, reason=HINT)
def test_a_browser_shows_the_runs_as_time_series(
    page: str, browser: Browser, tmp_path: Path
) -> None:
    browser.open(f"{page}#timeseries")
    text = browser.shows("fog", "rain", "acc", "val_loss", "best", "last")
    runs = browser.value(
        "[...document.querySelectorAll('runs-data-table tb-data-table-content-row')]"
        ".map(row => row.innerText.trim())"
    )
    assert {"fog", "rain"} <= {name.split()[0] for name in runs if name}, text[:2000]
    browser.wait(CHARTS)
    browser.shows("fog 0.75 0.75 30", "rain 0.5 0.5 20")
    assert_legible(browser.photograph(tmp_path / "timeseries.png"))


@pytest.mark.skipif(not CHROMIUM, reason=HINT)
def test_a_browser_shows_the_hparams_of_the_runs(
    page: str, browser: Browser, tmp_path: Path
) -> None:
    browser.open(f"{page}#hparams")
    browser.shows("Trial ID", "weather", "optimizer", "nesterov", "best/acc", "adam", "sgd")
    text = browser.shows("0.75000", "0.50000")
    for run in ("fog", "rain"):
        assert run in text.split("Trial ID", 1)[1], f"{run} is no row of the table: {text}"
    assert_legible(browser.photograph(tmp_path / "hparams.png"))


def test_the_best_run_comes_first(logs: Logs) -> None:
    table = comparison(logs, "acc", "max")
    assert list(table.index) == ["fog", "rain"]
    assert list(comparison(logs, "acc", "min").index) == ["fog", "rain"]


def test_a_row_says_what_a_run_reached_and_where(logs: Logs) -> None:
    row = comparison(logs, "acc", "max").loc["fog"]
    assert (row["best"], row["best_step"], row["last"], row["last_step"]) == (0.75, 20, 0.5, 30)
    assert (row["robust_last"], row["num_points"], row["weather"]) == (0.5, 3, "fog")


def test_values_that_are_not_finite_do_not_count(logs: Logs) -> None:
    row = comparison(logs, "acc", "max").loc["rain"]
    assert (row["num_points"], row["last"], row["last_step"]) == (1, 0.5, 10)


def test_a_run_without_the_metric_comes_last(logs: Logs) -> None:
    table = comparison(logs, "val_loss", "auto")
    assert list(table.index) == ["fog", "rain"]
    assert math.isnan(table.loc["rain", "best"]) and table.loc["rain", "num_points"] == 0


def test_only_parameters_in_which_runs_differ_are_shown(tmp_path: Path) -> None:
    files = {name: text.replace('"lr": 1', '"lr": 0.5') for name, text in FILES.items()}
    table = comparison(read(tmp_path, files), "acc", "max")
    assert {name for name in table if name.startswith("param:")} == {
        "param:optimizer",
        "param:nesterov",
    }


def test_an_unknown_metric_is_one_line(logs: Logs) -> None:
    with pytest.raises(LogError, match="unknown metric 'accu'"):
        comparison(logs, "accu", "max")


NAMES = st.lists(st.text(max_size=12), min_size=1, max_size=6, unique=True)


@given(names=NAMES)
def test_folders_are_distinct_and_stay_inside(names: list[str]) -> None:
    found = folders(names)
    assert len({str(folder).lower() for folder in found}) == len(names)
    for folder in found:
        assert not folder.is_absolute() and ".." not in folder.parts and folder.parts, folder
