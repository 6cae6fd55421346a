"""`thaw report cyclic`: gains with intervals, verdicts, costs, the front, the source's figures."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.thaw.cyclic_results import SECONDS, TASK, Search
from tests.thaw.helpers import Thaw
from thaw.cyclic.claims import AGREES, CONFIRMED, REFUTED, UNKNOWN, verdict
from thaw.cyclic.options import Options
from thaw.cyclic.reading import read_trials
from thaw.cyclic.tables import Tables, compute
from thaw.face_strips import strip
from trainables.cyclic_recipes import cost_table
from training.cyclic import Cyclic
from training.cyclic_config import CyclicConfig
from training.store import Store
from training.walk import UNKNOWN as NOTHING

GOOD, BETTER = (0.52, 26.5, 0.16), (0.55, 26.4, 0.14)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """No cycle; one and two good cycles; a catastrophe that was trained again from scratch."""
    made = Search(tmp_path / "run")
    made.add("no_cycle", {})
    made.add("cyclic", {"cycle1": GOOD})
    made.add("cyclic", {"cycle1": GOOD, "cycle2": BETTER})
    made.add("cyclic", {"cycle1": (0.30, 26.0, 0.2)}, status="stopped")
    made.add("full_retrain", {"retrain1": (0.33, 24.5, 0.2)})
    return made


def tables(*searches: Search) -> Tables:
    return compute(read_trials([s.folder for s in searches], None), Options())


def gain(found: Tables, name: str) -> pd.Series:
    return found.gains.set_index("cycle").loc[name]


def test_steps_that_trials_share_count_once(search: Search) -> None:
    found = tables(search)
    expected = ["first", "cycle1", "cycle2", "retrain1", "in the end"]
    assert list(found.gains["cycle"]) == expected
    assert gain(found, "first")["num_trials"] == 1, "five trials have it in common"
    assert gain(found, "cycle1")["num_trials"] == 1, "two went the same way"
    assert gain(found, "in the end")["gain"] == pytest.approx((0.22 + 0.25 + 0.03) / 3)


def test_a_cycle_gains_over_what_was_before_it(search: Search) -> None:
    found = tables(search)
    for name, expected in (("first", 0.1), ("cycle1", 0.12), ("cycle2", 0.03), ("retrain1", -0.07)):
        assert gain(found, name)["gain"] == pytest.approx(expected), name


def test_a_cycle_that_was_not_finished_is_none(search: Search) -> None:
    assert "0003" not in "".join(tables(search).cycles["trial"])


def test_the_interval_is_over_people(search: Search) -> None:
    """Each gains the same share but for those few that make up the rest: hardly any spread."""
    row = gain(tables(search), "cycle1")
    assert row["low"] < row["gain"] < row["high"]
    assert row["high"] - row["low"] < 0.05
    assert math.isnan(row["seed_low"]), "one seed"


def test_over_three_seeds_there_is_an_interval_of_student(search: Search, tmp_path: Path) -> None:
    other = Search(tmp_path / "seeds")
    for seed, accuracy in ((1, 0.50), (2, 0.54)):
        other.add("cyclic", {"cycle1": (accuracy, 26.5, 0.16)}, seed=seed)
    row = gain(tables(search, other), "cycle1")
    assert row["num_seeds"] == 3
    # Gains of 10, 12 and 14 points: standard error 2 / sqrt(3), t(0.975, 2) = 4.303
    half = 0.02 / math.sqrt(3) * 4.303
    ends = (row["seed_low"], row["seed_high"])
    assert ends == pytest.approx((0.12 - half, 0.12 + half), rel=1e-3)


def test_each_cycle_has_the_verdict_of_the_gates(search: Search) -> None:
    found = tables(search).cycles.set_index(["trial", "cycle"])[["verdict", "rule"]]
    assert tuple(found.loc[("run/0001", "cycle1")]) == ("go_on", "gained")
    assert tuple(found.loc[("run/0002", "cycle2")]) == ("stop", "max_cycles")
    assert tuple(found.loc[("run/0004", "retrain1")]) == ("retrain", "catastrophic")


def test_costs_are_planned_and_measured(search: Search) -> None:
    found = tables(search)
    planned = found.costs.set_index("strategy")
    assert list(planned["source_hours"].round(9)) == [13, pytest.approx(18, abs=0.5), 26, 39]
    schedule = cost_table(CyclicConfig.parse(TASK), seed=0)["no cycle"]
    epochs = {m: sum(s.epochs for s in schedule.stages if s.model == m) for m in SECONDS}
    for model, seconds in SECONDS.items():
        row = planned.loc["no cycle"]
        assert row[f"{model}_epochs"] == epochs[model]
        assert row[f"{model}_hours"] == pytest.approx(epochs[model] * seconds / 3600)
    measured = found.measured.set_index(["strategy", "cycles"])
    assert measured.loc[("no_cycle", 0), "dsr_epochs"] == epochs["dsr"]
    assert list(measured["num_trials"]) == [1, 1, 1, 1], "finished ones only"


def test_nothing_cheaper_is_as_good_as_the_front(search: Search) -> None:
    found = tables(search).pareto.set_index("trial")
    on_front = found.index[found["on_front"]]
    assert list(on_front) == ["run/0000", "run/0001", "run/0002"]
    assert found["hours"].is_monotonic_increasing


def test_levels_by_resolution(search: Search, tmp_path: Path) -> None:
    other = Search(tmp_path / "32")
    other.add("cyclic", {"cycle1": BETTER}, resolution=32)
    found = tables(search, other).levels.set_index(["resolution", "state"])["accuracy"]
    assert found[(16, "bicubic, pretrained EdgeFace")] == pytest.approx(0.3)
    assert found[(16, "after cycle1")] == pytest.approx(0.52)
    assert found[(32, "after cycle1")] == pytest.approx(0.55)


def test_the_sources_expectations_beside_what_was_measured(search: Search) -> None:
    found = tables(search).claims.set_index("expectation")
    assert found.loc["gain of cycle 1, points", "measured"] == pytest.approx(12)
    assert found.loc["gain of cycle 1, points", "verdict"] == CONFIRMED
    assert found.loc["16 px, accuracy after one cycle, %", "verdict"] == REFUTED, "52 is above 45"
    assert found.loc["24 px, accuracy after one cycle, %", "verdict"] == UNKNOWN, "no such trial"
    assert found.loc["identity loss before cycles", "measured"] == pytest.approx(0.22)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (8.0, 15.0, CONFIRMED),
        (7.9, 15.0, UNKNOWN),
        (15.1, 20.0, REFUTED),
        (15.0, 20.0, UNKNOWN),
        (-3.0, 7.9, REFUTED),
        (math.nan, math.nan, UNKNOWN),
    ],
)
def test_an_interval_is_judged_by_the_range(low: float, high: float, expected: str) -> None:
    assert verdict(8, 15, low, high) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (34.0, 36.0, AGREES),
        (30.0, 35.0, AGREES),
        (25.0, 45.0, UNKNOWN),
        (35.0, 36.0, REFUTED),
        (math.nan, math.nan, UNKNOWN),
    ],
)
def test_a_single_figure_agrees_with_a_narrow_interval_that_holds_it(
    low: float, high: float, expected: str
) -> None:
    assert verdict(34.87, 34.87, low, high) == expected


def test_the_report_is_written_whole(search: Search, thaw: Thaw, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, said, err = thaw("report", "cyclic", search.folder, "--out", out)
    assert code == 0, err
    assert "16 px, cycle1: +12.0 points" in said
    page = (out / "report.html").read_text()
    titles = ("Gain of each cycle", "By resolution", "Verdicts", "Expectations of the source")
    for title in (*titles, "Costs", "Accuracy and cost", "Faces"):
        assert f">{title}</h2>" in page, title
    assert "catastrophic" in page
    facts = json.loads((out / "summary.json").read_text())
    assert facts["verdicts"]["gain of cycle 1, points"] == CONFIRMED
    assert len(pd.read_csv(out / "tables" / "cycles.csv")) == 4
    assert "+12.0" in (out / "report.md").read_text()
    assert "the store has dropped the states of run/0002" in page


def test_what_it_cannot_read_is_told(search: Search, thaw: Thaw, tmp_path: Path) -> None:
    line = thaw.refused("report", "cyclic", tmp_path, "--out", tmp_path / "o")
    assert line.startswith(f"{tmp_path}: no results of a search")
    line = thaw.refused("report", "cyclic", search.folder, "--store", tmp_path / "empty")
    assert "lacks" in line and "name the store that it was searched with by --store" in line
    text = (search.folder / "search.json").read_text()
    (search.folder / "search.json").write_text(text.replace("cyclic", "classifier"))
    assert "this report is on `cyclic`" in thaw.refused("report", "cyclic", search.folder)


def test_models_that_were_given_fine_tuned_leave_nothing_to_compare_with(
    search: Search, thaw: Thaw
) -> None:
    path = search.folder / "0001" / "schedule.yaml"
    given = "finetuned: true\n  dsr_weights: d.pt\n  edgeface_weights: e.pt"
    text = path.read_text().replace("dsr_weights: none", "").replace("edgeface_weights: none", "")
    path.write_text(text.replace("finetuned: false", given))
    line = thaw.refused("report", "cyclic", search.folder)
    assert line.startswith("run/0001: its models were given fine-tuned (finetuned=true)")


def test_faces_before_and_after_are_one_picture(tmp_path: Path) -> None:
    task = Cyclic(CyclicConfig.parse(TASK | {"identities": 12}))
    models = task.build(0)
    store = Store(str(tmp_path))
    key = "a" * 64
    state = {"models": models.state_dict(), "optimizer": {}, "parked": {}, "averaged": None}
    store.publish(replace(NOTHING, key=key, metrics={"train_loss": 1.0}), state)
    made = [("initial_dsr", key), ("dropped", "b" * 64)]
    png = strip(task, store, made, num_people=2)
    assert png is not None
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # px, bicubic, one DSR and the truth, with a gap before each; two people below the headings.
    assert pixels.shape == (2 * 118 + 22, 4 * 118 + 6, 3)
    small, bicubic, dsr, truth = (pixels[22:134, 6 + 118 * n : 118 + 118 * n] for n in range(4))
    assert (dsr == bicubic).all(), "before any training DSR is bicubic interpolation"
    assert (small[:7, :7] == small[0, 0]).all(), "16 px are shown as squares of 7"
    assert np.abs(truth - bicubic).mean() > 1
    assert strip(task, store, made[1:], num_people=2) is None
