"""Who counts, what stands at a step, which defaults are chosen: on small tables made by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.diminishing.charts import charts
from analysis.diminishing.options import Options
from analysis.diminishing.patterns import BOTH, SLOW
from analysis.diminishing.sections import phases_section
from analysis.diminishing.tables import Tables, compute
from analysis.document import Grid
from analysis.logs import LogError
from tests.analysis.by_hand import LINE, OPTIONS, Points, logs_of, moved, tables_of, up_to


def test_a_mean_is_over_the_complete_runs_and_no_others() -> None:
    tables = tables_of({"a": LINE, "b": moved(LINE, 0.1), "c": moved(up_to(25), 9)})
    assert tables.phases["mean_gain"].tolist() == pytest.approx([2.5, 1.5])
    assert tables.phases["num_runs"].tolist() == [2, 2]


def test_a_stopped_run_is_censored_even_at_the_target() -> None:
    tables = tables_of({"a": LINE, "b": moved(LINE, 9)}, status={"b": "stopped"})
    assert tables.phases["mean_gain"].tolist() == [2, 1]
    patterns = tables.patterns.set_index("run")
    assert patterns.loc["b", ["pattern", "evidence"]].tolist() == ["cannot tell", "stopped early"]


@pytest.mark.parametrize(
    ("points", "status", "state", "remark"),
    [
        (up_to(20), "", "incomplete", "has values up to 20 of 30"),
        (up_to(20), "running", "running", "has values up to 20 of 30"),
        (up_to(20), "failed", "failed", "has values up to 20 of 30"),
        (up_to(5), "", "incomplete", "a single value, at 5"),
        ([(10, np.nan), (30, np.inf)], "", "no values", "no finite value of val_score"),
        ([*LINE[:5], (30, np.nan)], "", "incomplete", "has values up to 25 of 30"),
        ([*LINE[:4], (40, 5.0)], "", "incomplete", "no value near 30; its last is at 40"),
        ([], "", "no values", "no finite value of val_score"),
        (LINE, "diverged", "complete", "its log says diverged"),
    ],
)
def test_the_state_of_a_run(points: Points, status: str, state: str, remark: str) -> None:
    tables = tables_of({"a": LINE, "b": points}, status={"b": status})
    row = tables.runs.set_index("run").loc["b"]
    assert (row["state"], row["remark"]) == (state, remark)
    counted = 1 + (state == "complete")
    assert tables.phases["num_runs"].tolist() == [counted, counted]


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    tables = tables_of({"a": [*LINE, (12, np.nan), (35, -np.inf)]})
    row = tables.runs.iloc[0]
    assert (row["not_finite"], row["num_points"], row["best"]) == (2, 6, 5.0)


def test_a_missing_evaluation_takes_the_run_out_of_its_phases_only() -> None:
    gap = [point for point in moved(LINE, 0.5) if point[0] != 10]
    tables = tables_of({"a": LINE, "b": gap})
    assert tables.phases["num_runs"].tolist() == [1, 2]
    assert tables.phases["mean_gain"].tolist() == [2, 3.5]


def test_a_value_that_is_not_finite_is_not_replaced_by_its_neighbour() -> None:
    """Its steps are every 5, also where every other value is NaN."""
    holes = [(step, np.nan if step % 10 == 0 else step) for step in range(5, 41, 5)]
    phases = tables_of({"a": LINE, "b": [*holes, (30, 1.0)]}).phases
    assert phases["num_runs"].tolist() == [1, 1]


def test_steps_in_any_order_and_twice_count_once_with_the_later_value() -> None:
    order = [LINE[3], LINE[0], (10, 99.0), *LINE[4:], LINE[1], LINE[2]]
    assert tables_of({"a": order}).phases["mean_gain"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("steps", "has"),
    [
        ((10, 20, 30), True),
        ((9, 19, 29.9), True),  # off by one, and the last within 1%
        ((10, 20, 29), False),  # it ended before
        ((10, 24, 30), True),  # nearest, and not more than half an interval away
        ((10, 26, 42), True),
        ((1, 5, 12, 30, 50), False),
    ],
)
def test_which_evaluation_counts_at_a_step(steps: Sequence[float], has: bool) -> None:
    tables = tables_of({"a": [(step, float(step)) for step in steps]})
    assert np.isfinite(tables.phases["mean_gain"]).all() == has, tables.marginal_gains.to_string()


def test_the_tolerance_can_be_set() -> None:
    late: Points = [(12, 1.0), (22, 2.0), (32, 4.0)]
    strict = tables_of({"a": late}, replace(OPTIONS, tolerance=1.0))
    wide = tables_of({"a": late}, replace(OPTIONS, tolerance=2.0))
    assert (strict.phases["num_runs"].tolist(), wide.phases["num_runs"].tolist()) == (
        [0, 0],
        [1, 1],
    )


def test_a_loss_gains_where_it_falls() -> None:
    fallen = [(step, -value) for step, value in LINE]
    tables = compute(logs_of({"a": fallen}, metric="val_loss"), OPTIONS)
    assert tables.plan.mode == "min"
    assert tables.phases["mean_gain"].tolist() == [2, 1]
    assert tables.runs["peak_step"].tolist() == [30]


def test_without_any_complete_run_nothing_is_a_number() -> None:
    tables = tables_of({"a": up_to(20), "b": up_to(5)})
    phases = tables.phases[["mean_gain", "relative_to_first", "cumulative", "share_of_total"]]
    assert phases.isna().all().all(), phases
    assert tables.recommendations["length"].isna().all()


def test_a_group_without_gain_needs_no_more_than_the_first_end() -> None:
    flat: Points = [(step, 3.0) for step, _ in LINE]
    tables = tables_of({"a": flat}, label_style={"a": "flat"})
    rows = tables.recommendations.query("scope == 'style'")
    assert rows["length"].tolist() == [10, 10, 10]
    assert set(rows["remark"]) == {"no gain over these phases"}


def test_a_gain_smaller_than_noise_is_marked() -> None:
    """Of runs without gain 95% of the phases are within 2 sd; a steep one is not."""
    rng, steps = np.random.default_rng(0), np.arange(1.0, 61.0)
    values = {f"run{i}": 50 + rng.normal(0, 0.5, 60) for i in range(100)}
    table = tables_of({run: list(zip(steps, v, strict=True)) for run, v in values.items()})
    gains = table.marginal_gains
    within = gains[list(table.plan.phase_names)].abs().lt(gains["noise"], axis=0)
    assert 0.9 <= within.to_numpy().mean() <= 0.99
    assert table.phases["within_noise"].all(), table.phases
    steep = tables_of({"a": list(zip(steps, values["run0"] + steps, strict=True))})
    assert not steep.phases["within_noise"].any()


def flat_runs_smoothed() -> Tables:
    rng, steps = np.random.default_rng(0), np.arange(1.0, 61.0)
    runs = {f"run{i}": list(zip(steps, rng.normal(50, 0.5, 60), strict=True)) for i in range(100)}
    return tables_of(runs, replace(OPTIONS, smooth=5, slow_peak=100.0))


def test_smoothed_values_are_as_noisy_as_medians_of_so_many() -> None:
    """Those beside each other lean on each other, and say too little of it."""
    tables = flat_runs_smoothed()
    spread = tables.drawn.groupby("run")["value"].std()
    ratio = tables.runs.set_index("run")["noise_sd"][spread.index] / spread
    assert 0.9 <= ratio.mean() <= 1.1, ratio.describe()
    gains = tables.marginal_gains
    within = gains[list(tables.plan.phase_names)].abs().lt(gains["noise"], axis=0)
    assert 0.9 <= within.to_numpy().mean() <= 0.99


def test_smoothed_noise_is_no_improvement() -> None:
    patterns = flat_runs_smoothed().patterns["pattern"]
    assert patterns.isin([SLOW, BOTH]).mean() <= 0.1, patterns.value_counts()


def test_noise_that_nobody_can_tell_is_not_zero() -> None:
    """Four evaluations are too few for it: the report leaves it open."""
    tables = tables_of({"a": [LINE[0], LINE[1], LINE[3], LINE[5]]})
    assert tables.phases["noise"].isna().all(), tables.phases
    assert tables.phases["within_noise"].isna().all(), tables.phases
    shown = next(b for b in phases_section(tables, charts(tables)).blocks if isinstance(b, Grid))
    assert [row[-1].text for row in shown.rows] == ["", ""]


def test_a_run_of_unknown_noise_counts_as_noisy_as_the_others() -> None:
    wavy = [(step, value + 0.1 * (-1) ** place) for place, (step, value) in enumerate(LINE)]
    short = [wavy[0], wavy[1], wavy[3], wavy[5]]
    of_three = tables_of({"a": wavy, "b": wavy, "c": wavy}).phases["noise"]
    assert tables_of({"a": wavy, "b": short, "c": wavy}).phases["noise"].tolist() == pytest.approx(
        of_three.tolist()
    )


def test_a_run_of_unknown_noise_makes_no_total_surer() -> None:
    wavy = [(step, value + 0.1 * (-1) ** place) for place, (step, value) in enumerate(LINE)]
    runs = {"a": wavy, "b": [wavy[0], wavy[1], wavy[3], wavy[5]], "c": wavy}
    plain = tables_of(dict.fromkeys("abc", wavy))
    num_sd = OPTIONS.noise * 1.1 * plain.totals.total / float(plain.phases["noise"].iloc[0])
    for known in (dict.fromkeys("abc", wavy), runs):
        found = tables_of(known, replace(OPTIONS, noise=num_sd))
        assert set(found.recommendations["remark"]) == {"the total gain is within noise"}


@pytest.mark.parametrize(
    ("gain", "remark"), [(1.3, "one run"), (0.8, "the total gain is within noise")]
)
def test_the_noise_of_a_total_is_that_of_its_two_ends(gain: float, remark: str) -> None:
    """What one phase gains by chance at an end that it shares, the next one loses."""
    values = np.random.default_rng(0).normal(0, 0.5, 40)
    values[[0, -1]] = 0
    options = replace(OPTIONS, phases=(1, 14, 27, 40))

    def tables(total: float) -> Tables:
        rising = values + np.linspace(0, total, 40)
        return tables_of({"a": list(zip(np.arange(1.0, 41.0), rising, strict=True))}, options)

    noise = tables(0).phases["noise"].iloc[0]
    assert set(tables(gain * noise).recommendations["remark"]) == {remark}


def test_hours_come_from_the_clock_of_the_log() -> None:
    logs = logs_of({"a": LINE})
    timed = replace(logs, points=logs.points.assign(wall_s=logs.points["step"] * 360))
    cost = compute(timed, OPTIONS).cost_benefit
    assert cost["hours"].tolist() == [1, 1]
    assert cost["gain_per_hour"].tolist() == [2, 1]
    assert compute(logs, OPTIONS).cost_benefit["hours"].isna().all()


def test_cost_benefit_says_where_compute_no_longer_pays() -> None:
    cost = tables_of({"a": LINE}, replace(OPTIONS, base=10.0, drop=60.0)).cost_benefit
    assert cost["gain_per_compute"].tolist() == [2, 1]
    assert cost["relative_to_first"].tolist() == [100, 50]
    assert cost["pays"].tolist() == [True, False]


def test_smoothing_is_off_by_default_and_takes_medians() -> None:
    spiked = [(step, value + 50 * (step == 20)) for step, value in LINE]
    assert tables_of({"a": spiked}).phases["mean_gain"].tolist() == [52, -49]
    smooth = tables_of({"a": spiked}, replace(OPTIONS, smooth=3))
    assert smooth.phases["mean_gain"].abs().max() < 5


def test_seeds_of_one_configuration_are_drawn_together() -> None:
    runs = {f"{kind}{seed}": moved(LINE, kind) for kind in range(4) for seed in range(3)}
    columns = {
        "label_style": {name: f"kind {name[0]}" for name in runs},
        "label_seed": {name: name[1] for name in runs},
    }
    tables = tables_of(runs, **columns)
    assert tables.runs["configuration"].nunique() == 4
    assert tables.totals.draws.num_clusters == 4


def test_a_share_has_no_interval_where_a_phase_is_of_few_configurations() -> None:
    """All phases enter the total, also one that only two runs have."""
    runs = {f"run{i}": [(s, v * (1 + i)) for s, v in LINE] for i in range(4)}
    late = {run: [p for p in points if p[0] >= 15] for run, points in list(runs.items())[:2]}
    tables = tables_of(runs | late)
    assert tables.phases["num_runs"].tolist() == [2, 4]
    assert (tables.phases["interval"] != "").tolist() == [False, True]
    assert np.isnan(tables.totals.kept_interval()).all()
    assert np.isnan(tables.totals.total_interval()).all()


def test_the_quarters_are_evaluations_that_most_runs_have() -> None:
    points: Points = [(step, float(step)) for step in range(16, 161, 16)]
    tables = tables_of({"a": points, "b": points}, Options(draws=10))
    assert tables.plan.ends == (32, 80, 112, 160) or tables.plan.ends == (48, 80, 128, 160)
    assert tables.phases["num_runs"].tolist() == [2, 2, 2]
    assert any("quarters of 160" in said for said in tables.plan.chosen), tables.plan.chosen


def test_the_standard_phases_are_for_runs_of_that_length() -> None:
    points: Points = [(step, float(step)) for step in range(10_000, 450_001, 10_000)]
    plan = tables_of({"a": points}, Options(draws=10)).plan
    assert plan.ends == (90_000, 160_000, 240_000, 320_000)
    assert (plan.base, plan.fast_peak, plan.slow_peak) == (80_000, 200_000, 400_000)


@pytest.mark.parametrize(
    ("length", "target", "cause"),
    [
        (160e3, None, "and the runs do not reach 320k as in the standard plan"),
        (1e6, None, "and the runs go on for more than twice the 320k of the standard plan"),
        (400e3, 500e3, "and the target is not the 320k of the standard plan"),
    ],
)
def test_why_the_phases_are_not_the_standard_ones(
    length: float, target: float | None, cause: str
) -> None:
    points: Points = [(step, step) for step in np.arange(10e3, length + 1, 10e3).tolist()]
    plan = tables_of({"a": points}, Options(draws=10, target=target)).plan
    (said,) = [sentence for sentence in plan.chosen if "--phases" in sentence]
    assert said.startswith(f"No --phases were given, {cause}: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(metric="val_scor"), "unknown metric 'val_scor' (did you mean 'val_score'?)"),
        (Options(phases=(10.0,)), "--phases: at least two ends are needed"),
        (replace(OPTIONS, target=20.0), "--target 20: must not come before the last phase end, 30"),
        (replace(OPTIONS, groups=("style",)), "--groups: unknown label 'style'; found: none"),
        (replace(OPTIONS, clusters=("style",)), "--clusters: unknown label 'style'"),
        (replace(OPTIONS, planned="nowhere.csv"), "--planned nowhere.csv: cannot be read"),
    ],
)
def test_options_that_cannot_be_are_told_in_one_line(options: Options, message: str) -> None:
    with pytest.raises(LogError) as told:
        tables_of({"a": LINE}, options)
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)


def test_logs_without_a_finite_value_are_told() -> None:
    with pytest.raises(LogError, match="no metric with a finite value"):
        tables_of({"a": [(1, np.nan)]})


@st.composite
def some_runs(draw: st.DrawFn) -> dict[str, Points]:
    """Up to 6 runs with up to 12 values each; steps repeat, some values are not finite."""
    values = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([np.nan, np.inf, -np.inf]))
    steps = st.integers(1, 40).map(float)
    points = st.lists(st.tuples(steps, values), max_size=12)
    runs = draw(st.lists(points, min_size=1, max_size=6))
    return {f"run{number}": found for number, found in enumerate(runs)}


@settings(max_examples=40)
@given(runs=some_runs())
def test_every_mean_is_that_of_the_gains_listed_as_complete(runs: dict[str, Points]) -> None:
    if not any(np.isfinite(value) for points in runs.values() for _, value in points):
        return
    tables = tables_of(runs)
    counted = tables.marginal_gains[tables.marginal_gains["state"] == "complete"]
    known = counted[list(tables.plan.phase_names)].mean()
    np.testing.assert_allclose(tables.phases["mean_gain"], known, rtol=1e-9, atol=1e-9)
    assert len(tables.runs) == len(runs)


@settings(max_examples=40)
@given(runs=some_runs(), scale=st.sampled_from([0.5, 2.0, 100.0]))
def test_gains_scale_with_the_metric(runs: dict[str, Points], scale: float) -> None:
    if not any(np.isfinite(value) for points in runs.values() for _, value in points):
        return
    scaled = {run: [(s, v * scale) for s, v in points] for run, points in runs.items()}
    before, after = tables_of(runs).phases, tables_of(scaled).phases
    np.testing.assert_allclose(after["mean_gain"], scale * before["mean_gain"], rtol=1e-9)
    assert after["num_runs"].tolist() == before["num_runs"].tolist()


def test_runs_are_looked_ahead_for_but_not_those_stopped_early() -> None:
    long: Points = [(step, 1 - 1 / step) for step in range(1, 31)]
    runs = {"a": long, "b": moved(long, -0.001), "c": long[:20]}
    tables = tables_of(runs, replace(OPTIONS, ahead=45.0), status={"c": "stopped"})
    assert tables.forecasts["run"].tolist() == ["a", "b"]
    assert (tables.forecasts["target_step"] == 45).all()
    one = tables_of(runs, replace(OPTIONS, ahead=45.0, max_forecasts=1))
    assert (one.forecasts["run"].tolist(), one.ahead.num_left_out) == (["a"], 2)


def test_a_run_that_is_past_the_step_is_not_looked_ahead_for() -> None:
    tables = tables_of({"a": LINE, "b": up_to(20)}, replace(OPTIONS, ahead=25.0))
    assert tables.forecasts["run"].tolist() == ["b"]
