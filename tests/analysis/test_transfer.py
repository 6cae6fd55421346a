"""The reports on transfer learning, on made-up searches of which the truth is known."""

import json
import math
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.document import Chart, Document
from analysis.files import write_report
from analysis.html import html_page
from analysis.logs import LogError, Logs
from analysis.markdown import markdown
from analysis.reports import REPORTS
from analysis.transfer.claims import CONFIRMED, REFUTED, UNKNOWN, verdict
from analysis.transfer.contrast import Contrast, contrast
from analysis.transfer.dimensions import dimensions_of
from analysis.transfer.options import Options
from analysis.transfer.tables import Tables, compute
from tests.analysis.browser import CHROMIUM, HINT, Browser, assert_legible
from tests.analysis.searches import both, modes, search, timing_search, trial
from tests.analysis.test_report_output import NASTY, without_scripts

REPORT = next(report for report in REPORTS if report.name == "strategies")
OPTIONS = Options(draws=400)


def document_of(logs: Logs, options: Options = OPTIONS) -> Document:
    return REPORT.make(logs, options, date(2026, 1, 2))


def effect(tables: Tables, dimension: str, level: str) -> pd.Series:
    found = tables.effects.set_index(["dimension", "level"])
    return found.loc[(dimension, level)]


def test_the_span_in_which_unfreezing_pays_is_found() -> None:
    tables = compute(timing_search(60), OPTIONS)
    levels = tables.effects[tables.effects["dimension"] == "unfreeze_epoch"]
    best = levels.sort_values("difference").iloc[-1]
    low, high = (int(end) for end in best["level"].split(" to "))
    assert set(range(low, high + 1)) & {4, 5, 6}, best["level"]
    assert best["told"] and best["difference"] > 0


def test_where_nothing_matters_nothing_is_told_most_of_the_time() -> None:
    """Of 95 % intervals about one in twenty excludes zero by chance."""
    logs = [timing_search(30 + place, gain=0.0) for place in range(6)]
    told = pd.concat([compute(found, OPTIONS).effects["told"] for found in logs])
    assert told.mean() < 0.15, f"{told.sum()} of {len(told)}"


def test_the_mean_is_over_finished_trials_only() -> None:
    logs = search(
        {
            "a": ({"unfreeze_epoch": 2}, trial(2, 0.9)),
            "b": ({"unfreeze_epoch": 4}, trial(4, 0.8)),
            "c": ({"unfreeze_epoch": 4, "status": "stopped"}, trial(4, 0.2, until=5)),
        }
    )
    tables = compute(logs, OPTIONS)
    row = effect(tables, "unfreeze_epoch", "4")
    assert (row["num_finished"], row["num_stopped"], row["mean"]) == (1, 1, pytest.approx(0.8))
    assert effect(tables, "unfreeze_epoch", "2")["difference"] == pytest.approx(0.1)


def test_stopped_trials_are_compared_at_the_same_epoch() -> None:
    logs = search(
        {
            "a": ({"x": 1, "unfreeze_epoch": 1}, trial(1, 0.9)),
            "b": ({"x": 2, "unfreeze_epoch": 1, "status": "stopped"}, trial(1, 0.46, until=6)),
        }
    )
    (_, at_6, _) = trial(1, 0.9)[5]
    (_, stopped, _) = trial(1, 0.46)[5]
    assert compute(logs, OPTIONS).stopping.behind == pytest.approx(at_6 - stopped)
    assert "a poor choice looks better here than it is" in document_of(logs).summary


@pytest.mark.parametrize(
    ("final", "until", "said"),
    [
        (
            1.3,
            6,
            "ahead of the finished ones at the same epoch, so a choice that was stopped often",
        ),
        (0.46, 6, "behind the finished ones at the same epoch, so a poor choice looks better here"),
        (0.46, 0, "have no finished trial to compare with, so whom that favours is not known"),
    ],
)
def test_what_stopping_does_to_the_means_is_said_as_it_is(
    final: float, until: int, said: str
) -> None:
    stopped = {"x": 2, "unfreeze_epoch": 1, "status": "stopped"}
    finished = {"a": ({"x": 1, "unfreeze_epoch": 1}, trial(1, 0.9)[6 if not until else 0 :])}
    logs = search(finished | {"b": (stopped, trial(1, final, until=until or 6))})
    assert said in document_of(logs).summary


@pytest.mark.parametrize(("value", "said"), [("best", "to its best value"), ("last", "to its end")])
def test_the_gain_since_the_head_is_that_of_the_value_that_counts(value: str, said: str) -> None:
    text = markdown(document_of(timing_search(), replace(OPTIONS, value=value)))
    assert f"From the last epoch of the head alone {said} a finished trial gained" in text


def test_an_epoch_of_everything_is_compared_with_one_of_the_head() -> None:
    found = compute(timing_search(), OPTIONS).epoch_cost
    assert found.difference == pytest.approx(0.5)


HOLD = (
    "unfreezing takes 10-20 % more time than freezing",
    "unfreezing gains 1-3 points over freezing",
    "freezing is 2-4 points worse than no freezing",
    "freezing is faster than no freezing",
    "resizing cuts the time by about 40 %",
)


def test_claims_that_hold_are_supported() -> None:
    table = compute(modes(60), OPTIONS).claims.set_index("claim")
    assert [table.loc[claim, "verdict"] for claim in HOLD] == [CONFIRMED] * 5, table
    assert table.loc[HOLD[-1], "measured"] == pytest.approx(-0.4, abs=0.05)


def test_growing_sizes_are_compared_with_none_whatever_the_data_do() -> None:
    trials = {}
    for number in range(8):
        for grows, seconds in (("size", 0.6), ("nothing", 1.0), ("data and size", 0.3)):
            params = {"grows": grows, "lr": number / 10}
            points = trial(1, 0.8 + number / 1000, frozen_s=seconds, full_s=seconds)
            trials[f"{grows}-{number}"] = (params, points)
    table = compute(search(trials), OPTIONS).claims.set_index("claim")
    row = table.loc[HOLD[-1]]
    assert (row["verdict"], row["measured"]) == (CONFIRMED, pytest.approx(-0.4)), row
    assert (row["num_with"], row["num_without"]) == (8, 8)


def test_the_gain_of_averaging_is_seen_where_nothing_else_differs() -> None:
    table = compute(modes(20, freeze=0.8, unfreeze=0.8, none=0.8), OPTIONS).claims
    row = table[table["claim"].str.startswith("averaged weights")].iloc[0]
    assert (row["verdict"], row["measured"]) == (CONFIRMED, pytest.approx(0.005, abs=0.001))


def test_claims_that_do_not_hold_are_not() -> None:
    table = compute(modes(30, unfreeze=0.90), OPTIONS).claims.set_index("claim")
    row = table.loc["unfreezing gains 1-3 points over freezing"]
    assert (row["verdict"], round(100 * row["measured"])) == (REFUTED, 10)


def test_a_study_without_the_dimension_says_so() -> None:
    table = compute(timing_search(), OPTIONS).claims
    assert set(table["verdict"]) == {UNKNOWN}
    assert set(table["remark"]) == {
        "the study has no dimension mode",
        "the study has no dimension grows",
        "the study has no dimension ema",
    }
    text = markdown(document_of(timing_search()))
    assert "Left out, since the study has no such dimension: freezing against unfreezing" in text
    assert "These logs do not compare strategies" in text


def test_strategies_stand_side_by_side() -> None:
    tables = compute(modes(60), OPTIONS)
    found = tables.strategies.set_index("strategy")
    assert list(found.index) == ["freeze", "unfreeze", "none"]
    assert (
        found.loc["freeze", "ahead"] == pytest.approx(-0.03, abs=0.002)
        and found.loc["freeze", "told"]
    )
    assert found.loc["unfreeze", "slower"] == pytest.approx(1.15 / 1.3 - 1, abs=0.06)
    low, high = json.loads(found.loc["unfreeze", "ahead_interval"])
    assert low < -0.01 < high and high - low < 0.005
    assert math.isnan(found.loc["none", "ahead"]), "it is what the others are compared with"
    text = markdown(document_of(modes(60)))
    assert "not measured" in text and "not of the CPU" in text


def test_peak_memory_is_that_of_the_worst_epoch() -> None:
    logs = modes(5)
    gib = {"freeze": 1.0, "unfreeze": 2.0, "none": 3.0}
    extra = logs.points.assign(metric="peak_memory_bytes")
    extra["value"] = [
        2**30 * gib[run.partition("-")[0]] * (1.0 if epoch == 7 else 0.5)
        for run, epoch in zip(extra["run"], extra["epoch"], strict=True)
    ]
    known = replace(logs, points=pd.concat([logs.points, extra], ignore_index=True))
    tables = compute(known, OPTIONS)
    assert tables.trials.metric == "val_accuracy"
    assert (tables.strategies["memory"] / 2**30).tolist() == [1.0, 2.0, 3.0]
    assert "| 2.00 |" in markdown(document_of(known))


def test_confirmed_recipes_are_strategies_too() -> None:
    """Freezing is 2 points behind unfreezing with each seed, whatever the seed is worth."""
    seeds = {}
    for seed, luck in enumerate((-0.02, -0.01, 0.0, 0.01, 0.02)):
        for origin, final in (("progressive_freeze", 0.80), ("progressive_unfreeze", 0.82)):
            params = {"origin": origin, "seed": seed}
            seeds[f"{origin}-seed{seed}"] = (params, trial(1, final + luck + 0.0001 * seed))
    tables = compute(both(timing_search(12), search(seeds)), OPTIONS)
    assert tables.of_seeds and tables.strategies["num_runs"].tolist() == [5, 5]
    row = tables.claims.set_index("claim").loc["unfreezing gains 1-3 points over freezing"]
    assert (row["verdict"], row["measured"]) == (CONFIRMED, pytest.approx(0.02))
    low, high = json.loads(row["interval"])
    assert low == pytest.approx(0.02) and high == pytest.approx(0.02), "paired by seed"


def test_seconds_on_other_data_before_do_not_count() -> None:
    logs = search({"a": ({"x": 1}, trial(1, 0.8)), "b": ({"x": 2}, trial(1, 0.8))})
    before = logs.points.iloc[[0]].assign(epoch=0.0, step=0.0, metric="source_loss", wall_s=100.0)
    later = logs.points.assign(wall_s=logs.points["wall_s"] + 100.0 * (logs.points["run"] == "a"))
    found = compute(replace(logs, points=pd.concat([before, later])), OPTIONS)
    seconds = found.trials.table["seconds"]
    assert seconds["a"] == pytest.approx(seconds["b"])


def test_a_claim_in_points_needs_a_metric_in_points() -> None:
    logs = modes()
    points = logs.points.assign(metric="val_loss", value=3 - logs.points["value"])
    table = compute(replace(logs, points=points), OPTIONS).claims.set_index("claim")
    row = table.loc["unfreezing gains 1-3 points over freezing"]
    assert row["verdict"] == UNKNOWN and "not counted in points" in row["remark"]


@pytest.mark.parametrize(
    ("difference", "low", "high", "expected"),
    [
        (2.0, 1.5, 2.5, CONFIRMED),
        (2.0, 0.5, 3.5, CONFIRMED),
        (2.0, -0.5, 4.5, UNKNOWN),
        (4.0, 2.5, 5.5, UNKNOWN),
        (5.0, 4.0, 6.0, REFUTED),
        (-1.0, -2.0, 0.0, REFUTED),
    ],
)
def test_a_verdict_follows_from_interval_and_range(
    difference: float, low: float, high: float, expected: str
) -> None:
    assert verdict(Contrast(difference, low, high, 9, 9), 1, 3) == expected


def test_few_trials_give_no_interval() -> None:
    logs = search({f"{n}": ({"mode": m}, trial(1, 0.8)) for n, m in enumerate(["freeze", "none"])})
    tables = compute(logs, OPTIONS)
    assert set(tables.claims["verdict"]) == {UNKNOWN}
    assert set(tables.effects["difference_interval"]) == {""}
    assert "too few to compare choices" in document_of(logs).summary


def test_importance_names_the_dimension_that_matters() -> None:
    found = compute(timing_search(60), OPTIONS).importance
    assert found.is_told
    assert found.table["dimension"].iloc[0] == "unfreeze_epoch"


def test_importance_of_nothing_is_not_told() -> None:
    found = compute(timing_search(40, gain=0.0), OPTIONS).importance
    assert not found.is_told
    assert "Importance cannot be told" in markdown(document_of(timing_search(40, gain=0.0)))


def test_confirmations_are_the_noise_and_no_trials() -> None:
    logs, seeds = timing_search(12), {}
    for origin, mean in (("0001", 0.90), ("baseline", 0.85)):
        for seed, off in enumerate((-0.01, 0.0, 0.01)):
            seeds[f"{origin}-seed{seed}"] = (
                {"origin": origin, "seed": seed},
                trial(1, mean + off),
            )
    whole = both(logs, search(seeds))
    tables = compute(whole, OPTIONS)
    assert len(tables.trials.table) == 12
    assert tables.noise.seed_sd == pytest.approx(0.01)
    assert tables.noise.seeds["mean"].tolist() == pytest.approx([0.90, 0.85])
    assert "take the best confirmed schedule" in document_of(whole).summary


def test_logs_that_are_no_search_are_one_line() -> None:
    logs = search({"a": ({}, trial(1, 0.8)), "b": ({}, trial(2, 0.8))})
    with pytest.raises(LogError, match="no dimension of a search"):
        document_of(logs)


def test_runs_that_say_nothing_of_their_end_are_no_search() -> None:
    logs = modes(2)
    logs.runs["status"] = ""
    with pytest.raises(LogError, match="none of the 6 runs says that it finished or was stopped"):
        document_of(logs)


@pytest.mark.skipif(CHROMIUM is None, reason=HINT)
def test_a_browser_shows_the_report(tmp_path: Path) -> None:
    document = document_of(modes(20))
    write_report(document, tmp_path / "out")
    with Browser(tmp_path / "profile", 1200, 1400) as browser:
        browser.open((tmp_path / "out/report.html").as_uri())
        num = sum(isinstance(b, Chart) for section in document.sections for b in section.blocks)
        browser.wait(f"document.querySelectorAll('.plot .main-svg').length >= {num}")
        text = browser.shows("Side by side", "What the source claims", "freeze-0", "none-19")
        assert document.summary in text
        drawn = browser.value("document.querySelectorAll('#plot_strategy_gain .point').length")
        assert drawn == 2, "freezing and unfreezing, against neither"
        assert_legible(browser.photograph(tmp_path / "report.png"))
        assert browser.told == []


def test_no_finished_trial_still_is_a_report() -> None:
    logs = search(
        {
            f"{n}": ({"unfreeze_epoch": n, "status": "stopped"}, trial(n, 0.8, until=n))
            for n in range(1, 5)
        }
    )
    document = document_of(logs)
    assert "nothing can be compared" in document.summary
    assert "nan" not in without_scripts(html_page(document)).lower()


def test_names_with_html_stay_names() -> None:
    trials = {
        name: (
            {"unfreeze_epoch": 1 + n % 3, "mode": name, name: n},
            trial(1 + n % 3, 0.8 + n / 100),
        )
        for n, name in enumerate(NASTY * 4)
    }
    trials = {f"{name}-{n}": found for n, (name, found) in enumerate(trials.items())}
    document = document_of(search(trials))
    page = without_scripts(html_page(document)).replace("<wbr>", "")
    assert "<img" not in page and "alert(1)</script" not in page
    assert "<img" not in markdown(document)


def test_every_form_has_the_same_numbers(tmp_path: Path) -> None:
    document = document_of(timing_search(40))
    write_report(document, tmp_path)
    effects = pd.read_csv(tmp_path / "tables/effects.csv", keep_default_na=False)
    facts = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert [row["level"] for row in facts["effects"]] == effects["level"].tolist()
    for value in effects["difference"]:
        assert f"{100 * float(value):+.2f}" in html_page(document)
    parts = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html_page(document))
    assert parts and all(json.loads(part)["data"] for part in parts)


@given(
    values=st.lists(
        st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0])),
        min_size=2,
        max_size=30,
    )
)
def test_every_value_lies_in_one_level(values: list[float | None]) -> None:
    runs = pd.DataFrame({"param:x": pd.Series(values, dtype=object)})
    for dimension in dimensions_of(runs):
        assert ((dimension.levels == "") == dimension.values.isna()).all()
        assert set(dimension.levels) - {""} == set(dimension.order)
        assert len(dimension.order) <= 5
        assert (
            sum(chosen.sum() for _, chosen in dimension.groups()) == dimension.values.notna().sum()
        )


def test_a_contrast_covers_the_truth_at_its_level() -> None:
    rng, covered = np.random.default_rng(5), 0
    side = np.arange(30) < 15
    for _ in range(100):
        values = rng.normal(0, 1, 30) + side
        found = contrast(values, side, ~side, np.arange(30), replace(OPTIONS, draws=300))
        covered += found.low <= 1 <= found.high
    assert covered >= 88, f"{covered} of 100 intervals at 95 %"


def test_a_side_without_a_value_is_not_known() -> None:
    side = np.array([True, True, False])
    found = contrast(np.array([1.0, 2.0, np.nan]), side, ~side, np.arange(3), OPTIONS)
    assert math.isnan(found.difference) and not found.is_told
