"""Metric against length with the schedule tuned anew for each, and what a wrong choice costs.

It takes runs that were trained to the end of schedules of several lengths, such as those of the
study `training_length`: a run counts at its own last step, since a schedule that decays has no
value before its end that a shorter schedule would have had.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from analysis.bootstrap import interval, resampled_means
from analysis.diminishing.plan import Plan
from analysis.diminishing.runs import STOPPED, label_names
from analysis.logs import Logs

LENGTH = "param:length"
"""Hyperparameter that says how long a schedule is."""
_PARAM = "param:"
_FEWEST = 3
"""Groups, or else runs: of fewer there is no interval by the bootstrap."""
_SEEDS = frozenset({"param:seed", "param:random_seed"})
_ENDED = frozenset({"", "finished", "done"})
_ENVELOPE = [
    *("length", "steps", "schedule", "value", "interval", "interval_from"),
    *("num_runs", "num_schedules", "hours"),
]
_SAME = ["length", "schedule", "group", "value", "steps", "noise"]
"""Runs that are alike in all of these are one, told again: a sampler may ask for it many times."""
_COSTS = ["choice", "length", "value", "best", "loss", "hours_lost"]


@dataclass(frozen=True)
class Retuned:
    """The envelope over lengths and the cost of wrong choices; empty where there is one length."""

    envelope: pd.DataFrame
    """Columns: length, steps, schedule (the best at this length), value (mean over runs), interval,
    interval_from, num_runs, num_schedules, hours."""
    costs: pd.DataFrame
    """Columns: choice, length, value (what it gave), best (the best at this length, or of all
    lengths), loss (positive is worse), hours_lost (spent beyond those of the best length; NaN where
    it does not apply)."""
    apart: tuple[float, ...] = ()
    """Lengths at which the schedules have no group in common: each is on its own."""


def retuned(logs: Logs, runs: pd.DataFrame, plan: Plan) -> Retuned:
    """Return both tables, from the runs that ended by themselves."""
    ended = _ended(logs, runs)
    if ended.empty or ended["length"].nunique() < 2:
        return Retuned(pd.DataFrame(columns=_ENVELOPE), pd.DataFrame(columns=_COSTS))
    compared = _comparable(ended)
    means = _means(compared)
    envelope = pd.DataFrame(
        [_best_at(length, part, compared, plan) for length, part in means.groupby("length")]
    )
    apart = tuple(map(float, sorted(set(compared.loc[~compared["shared"], "length"]))))
    return Retuned(envelope[_ENVELOPE], _costs(means, envelope, plan), apart)


def best_of(table: pd.DataFrame, plan: Plan) -> pd.Series:
    """Return the row with the best value, the first of several."""
    return table.iloc[int(np.argmax(plan.sign * table["value"].to_numpy(np.float64)))]


def _ended(logs: Logs, runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each run that came to its own end: length, schedule, group, value, noise."""
    if LENGTH not in logs.runs:
        return pd.DataFrame()
    params = [
        name for name in logs.runs if str(name).startswith(_PARAM) and name not in (LENGTH, *_SEEDS)
    ]
    known = logs.runs.reindex(runs["run"])
    differing = [str(name) for name in params if known[name].astype(str).nunique() > 1]
    status = known["status"].fillna("").astype(str)
    labels = list(label_names(logs))
    table = pd.DataFrame(
        {
            "run": runs["run"].to_numpy(),
            "length": pd.to_numeric(known[LENGTH], errors="coerce").to_numpy(),
            "schedule": [_named(row, differing) for _, row in known.iterrows()],
            "group": runs[labels].astype(str).agg("/".join, axis=1) if labels else "",
            "value": runs["last"].to_numpy(np.float64),
            "steps": runs["last_step"].to_numpy(np.float64),
            "noise": runs["noise_sd"].to_numpy(np.float64),
        }
    )
    table["hours"] = table["run"].map(_hours(logs))
    counted = status.isin(_ENDED).to_numpy() & ~status.isin(STOPPED).to_numpy()
    table = table[counted & table["length"].notna() & table["value"].notna()]
    return table.drop_duplicates(_SAME)


def _named(row: pd.Series, params: list[str]) -> str:
    told = [f"{name.removeprefix(_PARAM)} {row[name]}" for name in params if pd.notna(row[name])]
    return ", ".join(told)


def _hours(logs: Logs) -> dict[str, float]:
    """Return the device-hours, or else the hours, of each run."""
    seconds = logs.points.groupby("run", observed=True)["wall_s"].max() / 3600
    return {str(run): float(hours) for run, hours in seconds.items()}


def _comparable(ended: pd.DataFrame) -> pd.DataFrame:
    """Return the runs by which the schedules of a length are compared: of groups that all have.

    A schedule that lacks a group would be compared on easier or harder data: it is left out where
    others at its length have more. Where those that are left have no group in common, all their
    runs stay, and are not `shared`.
    """
    num_groups = ended.groupby(["length", "schedule"])["group"].transform("nunique")
    most = num_groups.groupby(ended["length"]).transform("max")
    found = ended[num_groups == most]
    num_having = found.groupby(["length", "group"])["schedule"].transform("nunique")
    shared = num_having == found.groupby("length")["schedule"].transform("nunique")
    found = found.assign(shared=shared)
    return found[shared | ~shared.groupby(found["length"]).transform("any")]


def _means(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each schedule at each length over its groups, which weigh the same."""
    by_group = compared.groupby(["length", "schedule", "group"], as_index=False).agg(
        value=("value", "mean"),
        steps=("steps", "median"),
        hours=("hours", "mean"),
        num_runs=("value", "size"),
    )
    return by_group.groupby(["length", "schedule"], as_index=False).agg(
        value=("value", "mean"),
        steps=("steps", "median"),
        hours=("hours", "mean"),
        num_runs=("num_runs", "sum"),
    )


def _best_at(
    length: object, part: pd.DataFrame, compared: pd.DataFrame, plan: Plan
) -> dict[str, object]:
    best = best_of(part, plan)
    chosen = compared[(compared["length"] == length) & (compared["schedule"] == best["schedule"])]
    shown, source = _interval(chosen, float(best["value"]), plan)
    return {
        "length": length,
        "steps": best["steps"],
        "schedule": best["schedule"],
        "value": best["value"],
        "interval": shown,
        "interval_from": source,
        "num_runs": int(best["num_runs"]),
        "num_schedules": len(part),
        "hours": best["hours"],
    }


def _interval(chosen: pd.DataFrame, mean: float, plan: Plan) -> tuple[str, str]:
    """Return the interval of the mean, and what it is from: runs, or the noise of one curve."""
    level = plan.options.level
    by_group = chosen.groupby("group")["value"].mean()
    values = by_group if len(by_group) >= _FEWEST else chosen["value"]
    if len(values) >= _FEWEST:
        rng = np.random.default_rng(plan.options.seed)
        around = (values - values.mean() + mean).to_numpy(np.float64)[:, None]
        draws = resampled_means(around, np.arange(len(values)), rng, plan.options.draws)
        low, high = interval(draws, level / 100)[0]
        return f"[{low:.6g}, {high:.6g}]", f"{len(chosen)} runs"
    noise = float(np.sqrt(np.mean(chosen["noise"] ** 2) / len(chosen)))
    if not np.isfinite(noise):
        return "", ""
    half = special.ndtri(0.5 + level / 200) * noise
    return f"[{mean - half:.6g}, {mean + half:.6g}]", "noise of the curve"


def _costs(means: pd.DataFrame, envelope: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return what each wrong choice loses: of length, and of a schedule that is not tuned anew."""
    sign = plan.sign
    top = best_of(envelope, plan)
    rows: list[tuple[object, ...]] = []
    for row in envelope.to_dict("records"):
        loss = sign * (top["value"] - row["value"])
        lost = np.maximum(0.0, row["hours"] - top["hours"])
        choice = "this length instead of the best"
        rows.append((choice, row["length"], row["value"], top["value"], loss, lost))
    for kept in envelope.to_dict("records"):
        for row in envelope.to_dict("records"):
            same = means[
                (means["length"] == row["length"]) & (means["schedule"] == kept["schedule"])
            ]
            if row["length"] == kept["length"] or same.empty:
                continue
            value = float(same["value"].iloc[0])
            choice = f"schedule tuned at length {kept['length']:g}"
            rows.append(
                (choice, row["length"], value, row["value"], sign * (row["value"] - value), np.nan)
            )
    for length, part in means.groupby("length"):
        best = envelope.loc[envelope["length"] == length, "value"].iloc[0]
        worst = part.iloc[int(np.argmin(sign * part["value"].to_numpy(np.float64)))]
        if len(part) > 1:
            loss = sign * (best - worst["value"])
            rows.append((f"worst: {worst['schedule']}", length, worst["value"], best, loss, np.nan))
    return pd.DataFrame(rows, columns=_COSTS)
