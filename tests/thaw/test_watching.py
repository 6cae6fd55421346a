"""What is exported and logged as results come in, from the table's side; Ray is not started."""

import json
import math
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from thaw import watching
from thaw.results import Row, Table
from thaw.search_log import LOG, search_log
from thaw.watching import COUNTERS, GAUGES, Watching
from trainables.slot import TRIAL

METRIC = "val_accuracy"


class Exported:
    """What Ray would export: name -> value, and the tags of each."""

    def __init__(self) -> None:
        self.values: dict[str, float] = defaultdict(float)
        self.tags: dict[str, dict[str, str]] = {}

    def kind(self, name: str, what: str, tag_keys: tuple[str, ...]) -> "Exported._One":
        return self._One(self, name)

    class _One:
        def __init__(self, exported: "Exported", name: str) -> None:
            self._exported, self._name = exported, name

        def set_default_tags(self, tags: dict[str, str]) -> "Exported._One":
            self._exported.tags[self._name] = tags
            return self

        def inc(self, value: float) -> None:
            assert value > 0, "Ray's counters refuse 0"
            self._exported.values[self._name] += value

        def set(self, value: float) -> None:
            self._exported.values[self._name] = value


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Exported:
    made = Exported()
    monkeypatch.setattr(watching, "Counter", made.kind)
    monkeypatch.setattr(watching, "Gauge", made.kind)
    return made


def trial(name: str) -> Any:
    return SimpleNamespace(config={TRIAL: SimpleNamespace(name=name)})


def result(segment: int, value: float, *, reused: bool, event: str = "") -> dict[str, Any]:
    return {
        METRIC: value,
        "segment": segment,
        "stage": "head",
        "epoch": segment,
        "reused": reused,
        "device_s": 2.5,
        "cost_s": 2.5 * segment,
        "key": f"{segment:x}" * 64,
        "event": event,
        "incidents": "",
    }


def begin(table: Table, watch: Watching, name: str) -> None:
    table.rows.setdefault(name, Row(name, {"lr": 0.01}))
    watch.on_trial_start(0, [], trial(name))


def report(table: Table, watch: Watching, name: str, told: dict[str, Any]) -> None:
    """As Tune does: the table takes it in first."""
    table.rows[name].update(told, METRIC, "max", trained=not told["reused"])
    watch.on_trial_result(0, [], trial(name), told)


def test_metrics_follow_the_table(exported: Exported) -> None:
    table = Table(METRIC, "max")
    watch = Watching(table, "lr_sequence", num_trials=4)
    begin(table, watch, "0000")
    begin(table, watch, "0001")
    report(table, watch, "0000", result(1, 0.5, reused=False))
    report(table, watch, "0000", result(2, math.nan, reused=False))
    report(table, watch, "0001", result(1, 0.25, reused=True))
    report(table, watch, "0001", result(1, 0.25, reused=True))  # Tune reports it again
    table.rows["0001"].status = "failed"
    watch.on_trial_error(0, [], trial("0001"))
    assert exported.values == {
        "thaw_segments_trained": 2,
        "thaw_segments_reused": 1,
        "thaw_device_seconds": 5.0,
        "thaw_trials_failed": 1,
        "thaw_trials_running": 1,
        "thaw_trials_waiting": 2,
        "thaw_best_metric": 0.5,
    }
    assert exported.tags == {name: {"study": "lr_sequence"} for name in (*COUNTERS, *GAUGES)}


def test_the_best_of_a_loss_is_its_least(exported: Exported) -> None:
    table = Table(METRIC, "min")
    watch = Watching(table, "x", num_trials=1)
    begin(table, watch, "0000")
    for segment, value in enumerate((0.5, 0.25, 0.75), 1):
        report(table, watch, "0000", result(segment, value, reused=False))
    assert exported.values["thaw_best_metric"] == 0.25


def test_the_log_tells_the_life_of_a_trial(exported: Exported, tmp_path: Path) -> None:
    table = Table(METRIC, "max")
    with search_log(tmp_path):
        watch = Watching(table, "x", num_trials=1)
        begin(table, watch, "0000")
        settled = result(1, 0.5, reused=False, event="head settled")
        report(table, watch, "0000", settled | {"incidents": "worker 0 hung"})
        lost = trial("0000")
        lost.error_file = str(tmp_path / "error.txt")
        Path(lost.error_file).write_text("Failure # 1\nThe actor died: its node has died.\n")
        watch.on_trial_recover(0, [], lost)
        begin(table, watch, "0000")
        table.rows["0000"].status, table.rows["0000"].ended = "stopped", "stopped by ASHA"
        watch.on_trial_complete(0, [], trial("0000"))
    found = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["event"] for line in found] == [
        "trial began",
        "segment",
        "incident",
        "trial is tried again",
        "trial goes on",
        "trial ended",
    ]
    assert {line["trial"] for line in found} == {"0000"}
    assert found[0]["value.lr"] == 0.01
    assert (found[1]["segment"], found[1][METRIC], found[1]["decision"]) == (1, 0.5, "head settled")
    assert (found[2]["what"], found[2]["level"]) == ("worker 0 hung", "warning")
    assert found[3]["why"] == "The actor died: its node has died."
    assert (found[5]["why"], found[5]["segments_trained"]) == ("stopped by ASHA", 1)


def test_ray_takes_the_metrics_without_a_cluster() -> None:
    """Their names and tags are such as Ray has; it throws away what nobody collects."""
    table = Table(METRIC, "max")
    watch = Watching(table, "lr_sequence", num_trials=1)
    begin(table, watch, "0000")
    report(table, watch, "0000", result(1, 0.5, reused=False))
