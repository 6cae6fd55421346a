"""The report on unfreezing, on made-up heads of which the truth is known."""

import math
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.document import Chart, Document
from analysis.files import write_report
from analysis.logs import Logs
from analysis.markdown import markdown
from tests.analysis.browser import CHROMIUM, HINT, Browser, assert_legible
from tests.analysis.searches import both, modes, search, timing_search, trial
from thaw.unfreeze import UNFREEZE
from thaw.unfreeze.backtest import grid
from thaw.unfreeze.options import Options
from thaw.unfreeze.tables import Tables, compute
from training.schedule import Stage

OPTIONS = Options(draws=400)
BEST = 5
"""Epochs of the head after which unfreezing is best in these searches."""
LOSS = (2.0, 1.4, 1.1, 1.07, 1.06, 1.055, 1.052, 1.05, 1.049, 1.048)
"""Validation loss of the head: flat (less than 5 % an epoch) for two epochs after epoch 5."""


def with_losses(logs: Logs, *, scale: float = 1.0) -> Logs:
    """Add losses and train accuracy; while the head is alone they are those of `LOSS`."""
    heads = logs.points[logs.points["epoch"] <= len(LOSS)]
    loss = np.array([scale * LOSS[int(epoch) - 1] for epoch in heads["epoch"]])
    more = [
        heads.assign(metric="val_loss", value=loss),
        heads.assign(metric="train_loss", value=0.9 * loss),
        heads.assign(metric="train_accuracy", value=heads["value"] + 0.01),
    ]
    return replace(logs, points=pd.concat([logs.points, *more], ignore_index=True))


def seeds_of(moments: tuple[int, ...] = (1, 3, 5, 7, 9), num_seeds: int = 5) -> Logs:
    """Confirmations: two points are lost for each two epochs from the best moment."""
    runs: dict[str, Any] = {}
    for seed in range(num_seeds):
        for moment in moments:
            final = 0.90 - 0.01 * abs(moment - BEST) + 0.004 * (seed - num_seeds // 2)
            params = {"origin": f"{moment:04}", "seed": seed, "unfreeze_epoch": moment}
            runs[f"{moment:04}-seed{seed}"] = (params, trial(moment, final + 1e-4 * seed * moment))
    return search(runs)


def whole(**changes: Any) -> Logs:
    """A search, and what `thaw confirm` made of it."""
    found = both(with_losses(timing_search(20, **changes)), with_losses(seeds_of(), scale=1.1))
    known = [
        ((("head", int(n)), ("full", 12 - int(n)))) for n in found.runs["param:unfreeze_epoch"]
    ]
    return replace(found, runs=found.runs.assign(stages=known))


def document_of(logs: Logs, options: Options = OPTIONS) -> Document:
    document: Document = UNFREEZE.make(logs, options, date(2026, 1, 2))
    return document


def rows(tables: Tables, name: str, key: str) -> pd.DataFrame:
    return tables.files()[name].set_index(key)


def test_the_head_had_settled_at_the_first_epoch_with_all_signals() -> None:
    """By hand: accuracy changes by less than a point from epoch 4 on, twice after epoch 5."""
    logs = with_losses(
        search(
            {
                "a": ({"unfreeze_epoch": 10, "x": 1}, trial(10, 0.9)),
                "b": ({"unfreeze_epoch": 4, "x": 2}, trial(4, 0.9)),
            }
        )
    )
    table = compute(logs, replace(OPTIONS, drop=5.0)).heads.table
    assert table.loc["a"].to_dict() == {
        "head_epochs": 10,
        "loss_flat": 5,
        "accuracy_settled": 5,
        "train_steady": 5,
        "gap_steady": 3,
        "settled": 5,
        "trunk_settled": 5,
    }
    assert math.isnan(table.loc["b", "settled"]), "not yet: it was unfrozen too early"
    assert table.loc["b", "trunk_settled"] == 5, "a longer head that began alike tells"


def test_what_logs_cannot_tell_is_left_out_and_named() -> None:
    tables = compute(timing_search(), OPTIONS)
    assert [signal.kind for signal in tables.heads.signals] == ["accuracy_settled"]
    summary = document_of(timing_search()).summary
    assert "these logs cannot tell of loss_flat, train_steady, gap_steady" in summary


def test_heads_that_began_differently_are_different_histories() -> None:
    tables = compute(whole(), OPTIONS)
    trunks = tables.heads.longest()
    assert len(trunks) == 2 and len(set(map(len, trunks.values()))) == 2


def test_the_stages_that_were_trained_go_before_what_was_asked_for() -> None:
    """A rule ended the head early, or a fixed trial has no such parameter."""
    logs = with_losses(search({f"{n}": ({"lr": n}, trial(n, 0.8)) for n in (3, 6)}))
    asked = compute(logs, OPTIONS)
    assert asked.heads.table.empty and "is not known" in document_of(logs).summary
    logs.runs["stages"] = [(("head", 3), ("full", 9)), (("from head", 6), ("full", 6))]
    assert compute(logs, OPTIONS).heads.table["head_epochs"].tolist() == [3, 6]
    logs.runs["stages"] = [(("full", 12),), (("full", 12),)]
    assert compute(logs, OPTIONS).heads.table.empty


def test_the_recommended_moment_is_found_over_seeds() -> None:
    tables = compute(whole(), OPTIONS)
    assert tables.sample.of_seeds and tables.moments is not None
    assert tables.moments.epochs[tables.moments.best] == BEST
    assert tables.moments.best_between() == (BEST, BEST)
    cost = rows(tables, "moments", "head_epochs")["cost"]
    assert cost[[1, 3, 5, 7]].tolist() == pytest.approx([0.04, 0.02, 0.0, 0.02], abs=1e-3)
    assert cost[2] == pytest.approx(0.03, abs=1e-3), "nobody tried it: between its neighbours"
    assert "Recommended: unfreeze after 5 epochs (95% interval 5 to 5, over new seeds)" in (
        document_of(whole()).summary
    )


def test_a_moment_of_two_seeds_has_no_interval() -> None:
    logs = whole()
    few = ~logs.runs.index.isin([f"0009-seed{seed}" for seed in (2, 3, 4)])
    runs = logs.runs[few]
    found = replace(logs, runs=runs, points=logs.points[logs.points["run"].isin(runs.index)])
    intervals = rows(compute(found, OPTIONS), "moments", "head_epochs")["interval"]
    assert (intervals[[1, 3, 7, 9]] != "").tolist() == [True, True, True, False]


def test_a_baseline_among_the_confirmed_does_not_count_as_a_moment() -> None:
    """It unfreezes after 3 epochs too, and is worse for other reasons."""
    logs = whole()
    baseline = {f"b{n}": ({"origin": "baseline", "seed": n}, trial(3, 0.6)) for n in range(5)}
    more = with_losses(search(baseline))
    stages = [*logs.runs["stages"], *[(("head", 3), ("full", 9))] * 5]
    found = both(logs, more)
    found = replace(found, runs=found.runs.assign(stages=stages))
    with_it, without = (compute(one, OPTIONS) for one in (found, logs))
    pd.testing.assert_frame_equal(with_it.by_epoch, without.by_epoch)


def test_the_best_of_what_was_tried_may_not_be_the_best() -> None:
    logs = both(with_losses(timing_search(20)), with_losses(seeds_of((7, 9))))
    stages = [
        ((("head", int(n)), ("full", 12 - int(n)))) for n in logs.runs["param:unfreeze_epoch"]
    ]
    summary = document_of(replace(logs, runs=logs.runs.assign(stages=stages))).summary
    assert "Recommended: unfreeze after 7 epochs" in summary
    assert "it is the earliest that was tried, so a better one may lie beyond it" in summary


def test_earlier_and_later_are_measured_from_when_it_had_settled() -> None:
    tables = compute(whole(), replace(OPTIONS, drop=5.0))
    timing = rows(tables, "timing", "timing")
    assert timing["num_runs"].tolist() == [10, 5, 10], "after 1 and 3; 5; 7 and 9 epochs"
    before, later = timing.loc["before it had settled"], timing.loc["later"]
    assert before["difference"] == pytest.approx(-0.03, abs=1e-3) and before["told"]
    assert later["difference"] == pytest.approx(-0.03, abs=1e-3) and later["told"]


def test_the_rule_that_would_have_found_it_can_be_put_into_a_stage() -> None:
    tables = compute(whole(), OPTIONS)
    best = tables.rules.iloc[0]
    assert (best["distance"], best["cost"]) == (0.0, pytest.approx(0.0, abs=1e-12))
    stage = Stage.parse({"name": "head", "epochs": 12, "lr": 1e-3, **yaml.safe_load(best["until"])})
    assert stage.until is not None
    for records in tables.heads.longest().values():
        held = [bool(stage.until.holding(records[:epoch], ())) for epoch in range(1, 7)]
        assert held.index(True) + 1 == BEST
    assert f"`{best['until']}`" in document_of(whole()).summary


def test_no_rule_of_the_grid_is_there_twice_and_each_is_of_the_metric() -> None:
    names = {"val_iou", "train_iou", "val_loss", "train_loss"}
    rules = list(grid(names, "val_iou", "max"))
    texts = [rule.model_dump_json() for rule in rules]
    assert len(texts) == len(set(texts)) > 50
    signals = [signal for rule in rules for signal in rule.all or rule.any]
    assert {getattr(signal, "metric", "val_iou") for signal in signals} == {"val_iou"}


def test_a_rule_needs_the_metrics_of_the_logs() -> None:
    kinds = {s.kind for rule in grid({"val_accuracy"}, "val_accuracy", "max") for s in rule.any}
    assert kinds == {"accuracy_settled", "plateau"}


def test_a_search_alone_says_what_it_cannot_tell() -> None:
    document = document_of(with_losses(timing_search(40, gain=0.0)))
    assert "over the trials of the search" in document.summary
    assert "over schedules that differ in the moment alone tells more" in markdown(document)


def test_where_the_moment_matters_not_the_report_does_not_say_it_does() -> None:
    told = []
    for place in range(6):
        tables = compute(with_losses(timing_search(30 + place, gain=0.0)), OPTIONS)
        told += tables.by_epoch["told"].tolist()
    assert np.mean(told) < 0.2, f"{sum(told)} of {len(told)}"


def test_a_search_without_moments_still_is_a_report() -> None:
    document = document_of(modes(6))
    assert "When to unfreeze: cannot tell" in document.summary
    assert "No rule can be named: the best moment is not known." in document.summary


def test_that_no_rule_held_is_not_told_as_heads_that_were_too_short() -> None:
    """Within three epochs the metric still changes by more than any threshold."""
    trials = {f"{n}": ({"unfreeze_epoch": n, "x": n}, trial(n, 0.8 + n / 100)) for n in (1, 3)}
    document = document_of(search(trials))
    assert "Recommended: unfreeze after 3 epochs" in document.summary
    assert "No rule can be named: none held on a head that trained on" in document.summary
    assert "No rule can be named" in document.summary


def test_a_rule_is_a_question_of_its_own() -> None:
    trials = {}
    for number in range(8):
        epoch = {"unfreeze_rule": "epoch", "unfreeze_epoch": 1 + number % 3, "lr": number}
        trials[f"epoch-{number}"] = (epoch, trial(1 + number % 3, 0.80 + number / 1000))
        plateau = {"unfreeze_rule": "plateau", "unfreeze_epoch": None, "lr": number}
        trials[f"plateau-{number}"] = (plateau, trial(4, 0.85 + number / 1000))
    document = document_of(search(trials))
    assert "Epoch or rule" in [section.title for section in document.sections]
    assert "unfreeze_rule plateau is ahead of the others by +5.00 points" in document.summary


@pytest.mark.skipif(CHROMIUM is None, reason=HINT)
@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_shows_the_report(width: int, tmp_path: Path) -> None:
    document = document_of(whole())
    write_report(document, tmp_path / "out")
    with Browser(tmp_path / "profile", width, 1400) as browser:
        browser.open((tmp_path / "out/report.html").as_uri())
        num = sum(isinstance(b, Chart) for section in document.sections for b in section.blocks)
        browser.wait(f"document.querySelectorAll('.plot .main-svg').length >= {num}")
        text = browser.shows("When the head had settled", "not yet", "accuracy_settled", "0019")
        assert document.summary.replace("`", "") in text.replace("`", "")
        bars = browser.value("document.querySelectorAll('#plot_cost .point').length")
        assert bars == 9, "a bar for each moment"
        wide = browser.value("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"the page is {wide} px wider than its window"
        if width > 500:
            assert_legible(browser.photograph(tmp_path / "report.png"))
        assert browser.told == []
