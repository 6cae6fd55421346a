"""The report on logs made with the values of the source: its tables come out to the digit."""

import numpy as np
import pandas as pd
import pytest

from analysis.diminishing.options import Options
from analysis.diminishing.summary import summary
from analysis.diminishing.tables import Tables, compute
from analysis.logs import Logs
from tests.analysis.making import NUM_PENDING, RUNNING, STEPS, complete, reference

POINTS = 100
"""MMSegmentation logs fractions; the source prints points."""
CHECKPOINTS = {"160000": "miou_160k", "240000": "miou_240k", "320000": "miou_320k"}
PHASES = {
    "90k-160k": "gain_90k_160k",
    "160k-240k": "gain_160k_240k",
    "240k-320k": "gain_240k_320k",
}


def by_run(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("run").loc[reference().index]


def test_every_evaluation_was_read(reference_logs: Logs) -> None:
    points = reference_logs.points.query("metric == 'mIoU'")
    steps = points.groupby("run", observed=True)["step"].apply(list)
    assert {run for run, found in steps.items() if found != list(STEPS)} == set(RUNNING)


@pytest.mark.parametrize(("column", "printed"), CHECKPOINTS.items())
def test_checkpoints_equal_the_source(column: str, printed: str, reference_tables: Tables) -> None:
    found = (POINTS * by_run(reference_tables.checkpoints)[column]).round(1)
    known = reference()[printed].dropna()
    pd.testing.assert_series_equal(found[known.index], known, check_names=False)


@pytest.mark.parametrize(("column", "printed"), PHASES.items())
def test_marginal_gains_equal_the_source(
    column: str, printed: str, reference_tables: Tables
) -> None:
    found = (POINTS * by_run(reference_tables.marginal_gains)[column]).round(2)
    known = reference()[printed].dropna()
    pd.testing.assert_series_equal(found[known.index], known, check_names=False)


def test_peaks_equal_the_source(reference_tables: Tables) -> None:
    known = reference()["peak_step"].dropna()
    found = by_run(reference_tables.checkpoints)["peak_step"][known.index]
    pd.testing.assert_series_equal(found, known, check_names=False)


def test_the_means_are_those_of_the_source(reference_tables: Tables) -> None:
    phases = reference_tables.phases
    found = {
        "mean_gain": (POINTS * phases["mean_gain"]).round(2).tolist(),
        "relative_to_first": phases["relative_to_first"].round().tolist(),
        "cumulative": (POINTS * phases["cumulative"]).round(2).tolist(),
        "share_of_total": phases["share_of_total"].round().tolist(),
        "last share": round(phases["own_share"].iloc[-1]),
        "num_runs": phases["num_runs"].tolist(),
    }
    assert found == {
        "mean_gain": [0.75, 0.39, 0.10],
        "relative_to_first": [100, 52, 13],
        "cumulative": [0.75, 1.14, 1.24],
        "share_of_total": [60, 92, 100],
        "last share": 8,
        "num_runs": [22, 22, 22],
    }


def test_running_runs_are_listed_and_enter_no_mean(
    reference_tables: Tables, reference_logs: Logs
) -> None:
    runs = reference_tables.runs.set_index("run")["state"]
    assert set(runs.index[runs == "incomplete"]) == set(RUNNING)
    points = reference_logs.points
    alone = Logs(points[~points["run"].isin(RUNNING)], reference_logs.runs, (), ())
    pd.testing.assert_frame_equal(
        compute(alone, Options()).phases, reference_tables.phases, check_exact=True
    )


def test_what_is_planned_and_has_no_log_is_pending(reference_tables: Tables) -> None:
    assert reference_tables.num("pending") == NUM_PENDING
    assert len(reference_tables.runs) == 22 + len(RUNNING) + NUM_PENDING


def test_groups_have_the_mean_peak_of_their_complete_runs(reference_tables: Tables) -> None:
    groups = reference_tables.groups.set_index(["label", "group"])["mean_peak_step"]
    for label in ("strategy", "dataset", "model"):
        known = complete().groupby(label)["peak_step"].mean()
        pd.testing.assert_series_equal(
            groups[label].sort_index(), known, check_names=False, check_index_type=False
        )


def test_fast_saturators_and_slow_learners_are_those_of_the_thresholds(
    reference_tables: Tables,
) -> None:
    found = reference_tables.patterns.set_index("run")["pattern"]
    known = complete()
    fast = found.index[found.isin(["fast saturator", "mixed"])]
    assert set(fast) == set(known.index[known["peak_step"] < 200_000])
    slow = set(found.index[found.isin(["slow learner", "mixed"])])
    late = set(known.index[known["peak_step"] > 400_000])
    assert late <= slow, late - slow
    early = set(known.index[known["peak_step"] < 350_000])
    assert not slow & early, slow & early
    assert (found[list(RUNNING)] == "cannot tell").all()


def test_recommended_lengths_keep_the_shares_of_the_source(reference_tables: Tables) -> None:
    table = reference_tables.recommendations.query("scope == 'all'").set_index("purpose")
    assert table["length"].to_dict() == {
        "production": 160_000,
        "research": 240_000,
        "benchmark": 320_000,
    }
    assert table["compute_multiple"].tolist() == [2, 3, 4]
    assert np.round(table["kept_share"]).tolist() == [60, 92, 100]


def test_the_summary_says_what_was_computed_and_not_what_the_source_says(
    reference_tables: Tables,
) -> None:
    text = summary(reference_tables)
    for part in (
        "22 of 56 runs are complete at 320k, 4x the base length of 80k.",
        "+0.75 from 90k to 160k, +0.39 (52% of the first phase) from 160k to 240k and "
        "+0.10 (13% of the first phase) from 240k to 320k",
        "60% is there at 160k, 92% is there at 240k and the last phase adds 8%",
        "160k for production (2x compute, keeps 60%)",
        "Left out of every mean: 6 incomplete and 28 pending.",
    ):
        assert part in text, f"{part!r} is not in {text!r}"
    assert "75%" not in text
