"""One real search on real Ray: what it writes, that nothing is trained twice, that it survives."""

import csv
import io
import json
import os
import signal
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path

import optuna
import pytest
import ray
import torch
from ray.tune import ExperimentAnalysis, ResultGrid
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from analysis.logs import read_logs
from search_spaces.study import Study, study
from tests.faults.processes import wait_until
from thaw.best import write_best
from thaw.options import Options
from thaw.results import Table, read_search
from thaw.search import search
from thaw.search_log import LOG
from thaw.unfreeze import UNFREEZE
from trainables.slot import TRIAL
from training.store import Store

pytestmark = pytest.mark.ray
TRIALS = 5


def run(out: Path, store: Path, of: Study | None = None, **options: object) -> Table:
    chosen = Options(study="unfreeze_timing", trials=TRIALS, seed=0, out=str(out), store=str(store))
    quiet = Console(file=io.StringIO())
    found = of or study("unfreeze_timing")
    return search(found, {}, {}, replace(chosen, **options), quiet)  # type: ignore[arg-type]


def rows_without(out: Path, *columns: str) -> list[dict[str, str]]:
    """Return the rows of the table without its times and the given columns."""
    left_out = {"device_s", "cost_s", *columns}
    with (out / "trials.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in left_out} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def folder(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a search on two slots; its store lies beside it."""
    folder = tmp_path_factory.mktemp("search")
    run(folder / "out", folder / "store")
    return folder


def test_every_trial_ends_with_a_reason(folder: Path) -> None:
    _, rows = read_search(folder / "out")
    assert len(rows) == TRIALS
    for row in rows:
        assert row["status"] in ("finished", "stopped"), row
        assert row["ended"], row


def test_no_segment_is_trained_twice_by_two_slots(folder: Path) -> None:
    _, rows = read_search(folder / "out")
    trained = sum(int(row["segments_trained"]) for row in rows)
    distinct = len(list((folder / "store").glob("*/*/record.json")))
    assert trained == distinct
    assert sum(int(row["segments_reused"]) for row in rows) > 0


def test_heads_trained_in_one_pass_end_as_alone(tmp_path: Path, ray_session: None) -> None:
    """The first trial trains what all have in common, and takes both other heads along."""
    whole = study("unfreeze_timing")
    points = tuple(
        {**whole.points[0], "head_lr": lr, "backbone_multiplier": backbone}
        for lr, backbone in ((2e-3, 0.3), (4.5e-3, 0.3), (1e-2, 0.3), (4.5e-3, 0.1), (1e-2, 0.1))
    )
    runs = {"alone": 1, "fused": 3}
    for name, fuse in runs.items():
        more = {"fuse": fuse, "max_concurrent": 1, "scheduler": "none"}
        store = tmp_path / f"{name}-store"
        run(tmp_path / name, store, of=replace(whole, points=points), **more)
    alone, fused = (rows_without(tmp_path / name) for name in runs)
    assert alone == fused
    trained = sum(int(row["segments_trained"]) for row in fused)
    assert len(list((tmp_path / "fused-store").glob("*/*/record.json"))) == trained
    found = (path.read_text().splitlines() for path in (tmp_path / "fused").glob("*/result.json"))
    led = sum(not json.loads(line)["reused"] for lines in found for line in lines)
    assert trained - led == 2 * points[0]["unfreeze_epoch"], "two heads, beside the first"


def test_tune_reads_the_folder(folder: Path) -> None:
    grid = ResultGrid(ExperimentAnalysis(str(folder / "out")))
    assert len(grid) == TRIALS and not grid.errors
    best = grid.get_best_result("val_accuracy", "max", scope="all")
    _, rows = read_search(folder / "out")
    ours = max(float(row["best_val_accuracy"]) for row in rows)
    assert best.metrics_dataframe["val_accuracy"].max() == pytest.approx(ours, abs=1e-6)


def test_tune_keeps_little_of_trials_that_ended(folder: Path) -> None:
    trials = ExperimentAnalysis(str(folder / "out")).trials
    assert len(trials) == TRIALS
    for trial in trials:
        assert trial.config[TRIAL] == trial.last_result["config"][TRIAL] == "see schedule.yaml"
        assert sum(map(len, trial.get_json_state())) < 15_000, trial


def test_tensorboard_reads_scalars_and_hparams(folder: Path) -> None:
    for trial in sorted((folder / "out").glob("0*")):
        events = EventAccumulator(str(trial)).Reload()
        tags = events.Tags()["scalars"]
        assert "ray/tune/val_accuracy" in tags and "ray/tune/source_val_accuracy" in tags
        summaries = events.SummaryMetadata("_hparams_/session_start_info")
        assert summaries.plugin_data.plugin_name == "hparams"
        assert b"unfreeze_epoch" in summaries.plugin_data.content
        assert b"schedule.yaml" not in summaries.plugin_data.content


def test_tensorboard_shows_the_confusion_after_each_stage(folder: Path) -> None:
    for trial in sorted((folder / "out").glob("0*")):
        events = EventAccumulator(str(trial)).Reload()
        images = {tag: events.Images(tag) for tag in events.Tags()["images"]}
        assert "confusion/head" in images, f"{trial.name}: {list(images)}"
        for tag, shown in images.items():
            assert [image.encoded_image_string[:4] for image in shown] == [b"\x89PNG"], tag


def test_the_report_on_unfreezing_reads_the_folder(folder: Path) -> None:
    document = UNFREEZE.make(read_logs([folder / "out"]), UNFREEZE.options(), date(2026, 1, 2))
    trials = document.tables["trials"].set_index("trial")
    _, rows = read_search(folder / "out")
    assert len(trials) == TRIALS
    for row in rows:
        best = float(row["best_val_accuracy"])
        assert trials.loc[row["trial"], "value"] == pytest.approx(best, abs=1e-6)
        assert trials.loc[row["trial"], "status"] == row["status"]
        trained = min(int(row["unfreeze_epoch"]), int(row["epochs"]))
        assert trials.loc[row["trial"], "head_epochs"] == trained, "of the stages in result.json"


def test_optuna_knows_the_truth(folder: Path) -> None:
    loaded = optuna.load_study(
        study_name="unfreeze_timing", storage=f"sqlite:///{folder / 'out' / 'optuna.db'}"
    )
    _, rows = read_search(folder / "out")
    states = {f"{trial.number:04}": trial for trial in loaded.trials}
    for row in rows:
        trial = states[row["trial"]]
        expected = "COMPLETE" if row["status"] == "finished" else "PRUNED"
        assert trial.state.name == expected, row
        assert len(trial.intermediate_values) == int(row["epochs"])
    assert not [trial for trial in loaded.trials if trial.state.name == "RUNNING"]


def test_each_trial_has_its_files(folder: Path) -> None:
    for name in ("result.json", "progress.csv", "params.json", "schedule.yaml"):
        assert len(list((folder / "out").glob(f"0*/{name}"))) == TRIALS, name
    params = json.loads((folder / "out/0000/params.json").read_text())
    assert params["unfreeze_epoch"] == 3


def test_best_writes_what_thaw_train_replays(folder: Path) -> None:
    printed = io.StringIO()
    write_best(folder / "out", folder / "best", Console(file=printed))
    assert (folder / "best/model.pt").is_file()
    assert "stages" in printed.getvalue()


def test_the_best_state_is_trained_again_where_it_was_dropped(folder: Path) -> None:
    """The same bits, from the nearest state before it."""
    write_best(folder / "out", folder / "before", Console(file=io.StringIO()))
    before = torch.load(folder / "before/model.pt", weights_only=True)
    store = Store(str(folder / "store"))
    key = before["key"]
    for _ in range(2):
        store.drop_state(key)
        record = store.record(key)
        assert record is not None
        key = record.parent
    write_best(folder / "out", folder / "after", Console(file=io.StringIO()))
    after = torch.load(folder / "after/model.pt", weights_only=True)["model_state_dict"]
    for name, value in before["model_state_dict"].items():
        assert torch.equal(value, after[name]), name


@pytest.fixture(scope="module")
def calm(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the same search on one slot, where the order of results is fixed."""
    folder = tmp_path_factory.mktemp("calm")
    run(folder / "out", folder / "store", max_concurrent=1)
    return folder


def test_the_same_search_again_trains_nothing(calm: Path, tmp_path: Path) -> None:
    run(tmp_path / "again", calm / "store", max_concurrent=1)
    counts = ("segments_trained", "segments_reused")
    first, again = (rows_without(out, *counts) for out in (calm / "out", tmp_path / "again"))
    assert again == first
    assert {row["segments_trained"] for row in rows_without(tmp_path / "again")} == {"0"}


def test_a_killed_worker_changes_nothing(calm: Path, tmp_path: Path) -> None:
    """SIGKILL one training worker in mid-search: same table as without it."""
    store = tmp_path / "store"
    killed: list[int] = []

    def kill() -> None:
        wait_until(lambda: len(list(store.glob("*/*/record.json"))) >= 5, 120, "five segments")
        killed.extend(_kill_a_training_worker())

    killer = threading.Thread(target=kill)
    killer.start()
    run(tmp_path / "out", store, max_concurrent=1)
    killer.join()
    assert killed
    assert rows_without(tmp_path / "out") == rows_without(calm / "out")
    lines = map(json.loads, (tmp_path / "out" / LOG).read_text().splitlines())
    told = "; ".join(line["what"] for line in lines if line["event"] == "incident")
    assert f"(process {killed[0]} on " in told and " was lost " in told


def _kill_a_training_worker() -> list[int]:
    from ray.util.state import list_actors

    workers = list_actors(filters=[("class_name", "=", "RayTrainWorker"), ("state", "=", "ALIVE")])
    pids = [worker.pid for worker in workers][:1]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def test_nothing_is_held_after_a_search(ray_session: None, folder: Path) -> None:
    wait_until(
        lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"],
        30,
        f"all CPUs free, but of {ray.cluster_resources()} only {ray.available_resources()} are",
    )
