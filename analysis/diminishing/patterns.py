"""Patterns: which runs saturate early, which learn slowly, and what groups have in common."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.bootstrap import interval, resampled_means
from analysis.diminishing.lengths import members
from analysis.diminishing.phases import Gains, in_order, shown_intervals, totals_of
from analysis.diminishing.plan import Plan
from analysis.diminishing.runs import CENSORED, COMPLETE
from analysis.selection import Curves
from analysis.verdicts import fast_saturator, slow_learner

FAST, SLOW, BOTH, NEITHER = "fast saturator", "slow learner", "mixed", "in between"
UNKNOWN = "cannot tell"
_GROUP_COLUMNS = (
    *("label", "group", "num_runs", "mean_peak_step", "interval", "peaks_at_end"),
    *("fast_saturators", "slow_learners"),
)


def patterns_table(curves: Curves, runs: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return a row for each run with values: its pattern, peak and the evidence.

    Only complete runs have one: of a run that was stopped or is not done, nobody can tell.
    """
    known = runs.iloc[: len(curves.runs)]
    filled = known[known["num_points"] > 0]
    places = zip(filled.index.tolist(), filled["state"], filled["noise_sd"], strict=True)
    told = [_pattern(curves, place, state, sd, plan) for place, state, sd in places]
    table = filled[["run", *plan.options.groups, "state", "peak_step"]].copy()
    table["peak_at_end"] = filled["peak_step"] == filled["last_step"]
    table["pattern"] = [pattern for pattern, _ in told]
    table["evidence"] = [evidence for _, evidence in told]
    return in_order(table, runs, plan)


def _pattern(
    curves: Curves, place: int, state: str, noise_sd: float, plan: Plan
) -> tuple[str, str]:
    if state != COMPLETE:
        return UNKNOWN, "stopped early" if state == CENSORED else "not complete"
    steps, values = curves.of(place)
    fast = fast_saturator(
        steps,
        values,
        mode=plan.mode,
        peak_before_step=plan.fast_peak,
        no_gain_after_step=plan.no_gain_after,
    )
    slow = slow_learner(
        steps,
        values,
        mode=plan.mode,
        peak_after_step=plan.slow_peak,
        smoothed_sd=noise_sd if plan.options.smooth > 1 else None,
    )
    name = BOTH if fast.holds and slow.holds else FAST if fast.holds else SLOW
    evidence = [verdict.evidence for verdict in (fast, slow) if verdict.holds]
    return (name if evidence else NEITHER), "; ".join(evidence)


def groups_table(
    patterns: pd.DataFrame, gains: Gains, runs: pd.DataFrame, plan: Plan
) -> pd.DataFrame:
    """Return a row for each value of each label: mean peak step and gains of its complete runs.

    `peaks_at_end` counts runs whose best value is their last: their peak may yet come. Groups
    without a complete run are left out.
    """
    by_run = patterns.set_index("run")
    rows = []
    for label, group, chosen in members(gains, runs, plan.options.groups):
        counted = np.flatnonzero(chosen & gains.complete)
        if not len(counted):
            continue
        peaks = runs["peak_step"].to_numpy(np.float64)[counted]
        rng = np.random.default_rng(plan.options.seed)
        draws = resampled_means(peaks[:, None], gains.clusters[counted], rng, plan.options.draws)
        found = by_run.loc[runs["run"].iloc[counted]]
        totals = totals_of(gains.of(chosen), plan)
        rows.append(
            {
                "label": label,
                "group": group,
                "num_runs": len(counted),
                "mean_peak_step": float(np.mean(peaks)),
                "interval": shown_intervals(interval(draws, plan.options.level / 100))[0],
                "peaks_at_end": int(found["peak_at_end"].sum()),
                "fast_saturators": int(found["pattern"].isin([FAST, BOTH]).sum()),
                "slow_learners": int(found["pattern"].isin([SLOW, BOTH]).sum()),
                **dict(zip(plan.phase_names, totals.means, strict=True)),
                "total_gain": totals.total,
            }
        )
    columns = (*_GROUP_COLUMNS, *plan.phase_names, "total_gain")
    return pd.DataFrame(rows, columns=list(columns))
