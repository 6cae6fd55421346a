"""The headline and the one paragraph at the top, both made from the tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import pandas as pd

from analysis.diminishing.lengths import EVERYTHING, where_it_drops
from analysis.diminishing.patterns import BOTH, FAST, SLOW
from analysis.diminishing.runs import (
    CENSORED,
    COMPLETE,
    FAILED,
    INCOMPLETE,
    NO_VALUES,
    PENDING,
    RUNNING,
)
from analysis.diminishing.tables import Tables
from analysis.shown import shown_multiple, shown_per_cent, shown_range
from analysis.steps import shown_about, shown_step

_NOT_COUNTED = {
    RUNNING: "running",
    INCOMPLETE: "incomplete",
    CENSORED: "stopped early",
    FAILED: "failed",
    NO_VALUES: "without a value",
    PENDING: "pending",
}


def headline(tables: Tables) -> tuple[tuple[str, str], ...]:
    """Return the figures of the header."""
    plan = tables.plan
    total = tables.totals.total
    rows = [
        ("complete runs", f"{tables.num(COMPLETE):,} of {len(tables.runs):,}"),
        ("training length", shown_step(plan.target)),
        ("of the base length", shown_multiple(plan.multiple(plan.target))),
        (
            f"{plan.metric} gained, {shown_step(plan.ends[0])} to {shown_step(plan.ends[-1])}",
            "unknown" if isnan(total) else f"{plan.unit.gain(total)} {plan.unit.name}".strip(),
        ),
    ]
    return tuple(rows)


def summary(tables: Tables) -> str:
    """Return the paragraph: gains, where they fade, what to pay for, who is left out."""
    sentences = [_status(tables)]
    if tables.num(COMPLETE):
        sentences += [*_gains(tables), *_cost(tables), *_lengths(tables), *_groups(tables)]
        sentences += _patterns(tables)
    return " ".join([*sentences, *_left_out(tables)])


def heading(text: str, unit: str) -> str:
    """Return `text` with its unit in brackets, where it has one."""
    return f"{text} ({unit})" if unit else text


def joined(parts: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def left_out(tables: Tables) -> list[str]:
    """Return how many runs enter no mean, by reason: `6 running`."""
    return [f"{num:,} {word}" for state, word in _NOT_COUNTED.items() if (num := tables.num(state))]


def _status(tables: Tables) -> str:
    plan, num = tables.plan, tables.num(COMPLETE)
    of = f"{num:,} of {len(tables.runs):,} runs" if num else f"None of {len(tables.runs):,} runs"
    multiple = shown_multiple(plan.multiple(plan.target))
    verb = "is" if len(tables.runs) == 1 or num == 1 else "are"
    return f"{of} {verb} complete at {shown_step(plan.target)}, {multiple} the base length of " + (
        f"{shown_step(plan.base)}." if num else f"{shown_step(plan.base)}: there is no mean gain."
    )


def _gains(tables: Tables) -> list[str]:
    unit, phases = tables.plan.unit, tables.phases[tables.phases["num_runs"] > 0]
    parts = []
    for place, row in enumerate(phases.to_dict("records")):
        relative = row["relative_to_first"]
        told = f" ({relative:.0f}% of the first phase)" if place and relative > 0 else ""
        span = f"from {shown_step(row['start'])} to {shown_step(row['end'])}"
        parts.append(f"{unit.gain(row['mean_gain'])}{told} {span}")
    if not parts:
        return ["No complete run has values at both ends of a phase."]
    told = f"The mean gain in {heading(tables.plan.metric, unit.name)} is {joined(parts)}."
    return [told, *doubtful(tables), *_shares(tables)]


def doubtful(tables: Tables) -> list[str]:
    """Say which mean gains are within noise, and which cannot be told from nothing."""
    phases, found = tables.phases, []
    weak = phases.loc[phases["within_noise"].fillna(False), "phase"].tolist()
    if weak:
        found.append(f"In {joined(weak)} it is no larger than the noise of the metric.")
    low, high = tables.totals.mean_interval().T
    open_ended = phases.loc[(low <= 0) & (high >= 0), "phase"].tolist()
    if open_ended:
        found.append(f"In {joined(open_ended)} its interval includes zero: it may be no gain.")
    return found


def _shares(tables: Tables) -> list[str]:
    totals, plan = tables.totals, tables.plan
    if isnan(totals.total):
        return []
    if totals.total <= 0:
        return ["Over all phases together nothing was gained."]
    shares = [
        f"{shown_per_cent(share)} is there at {shown_step(end)}"
        for share, end in zip(totals.kept[1:-1], plan.ends[1:-1], strict=True)
    ]
    ends = totals.total_interval().tolist()
    told = f" ({100 * totals.level:g}% interval {shown_range(ends, plan.unit.gain)})"
    whole = f"The total is {plan.unit.gain(totals.total)}{'' if isnan(ends[0]) else told}"
    last = f"the last phase adds {shown_per_cent(totals.kept[-1] - totals.kept[-2])}"
    return [f"{whole}: {joined([*shares, last])}."]


def _cost(tables: Tables) -> list[str]:
    phase = where_it_drops(tables.cost_benefit)
    if phase is None:
        return []
    row = tables.cost_benefit.set_index("phase").loc[phase]
    if not row["gain_per_compute"] > 0:
        return [f"Compute stops paying in {phase}, which gains nothing."]
    return [
        f"Compute stops paying in {phase}: a unit of it gains {row['relative_to_first']:.0f}% of "
        f"what it gained in the first phase (threshold {tables.plan.options.drop:g}%)."
    ]


def _lengths(tables: Tables) -> list[str]:
    table = tables.recommendations
    rows = table[(table["scope"] == EVERYTHING) & table["length"].notna()].to_dict("records")
    parts = []
    for row in rows:
        kept = "" if isnan(row["kept_share"]) else f", keeps {shown_per_cent(row['kept_share'])}"
        compute = f"({shown_multiple(row['compute_multiple'])} compute{kept})"
        parts.append(f"{shown_step(row['length'])} for {row['purpose']} {compute}")
    return [f"Recommended lengths: {joined(parts)}."] if parts else []


def _groups(tables: Tables) -> list[str]:
    """Name the earliest and the latest group of each label of 2 and more values."""
    found = []
    for label, rows in tables.groups.groupby("label", sort=False) if len(tables.groups) else ():
        if len(rows) < 2:
            continue
        ranked = rows.sort_values(["mean_peak_step", "group"])
        first, last = ranked.iloc[0], ranked.iloc[-1]
        found.append(
            f"{label} {first['group']} ({shown_about(first['mean_peak_step'])}) before "
            f"{last['group']} ({shown_about(last['mean_peak_step'])})"
        )
    return [f"Mean peaks, earliest and latest: {joined(found)}."] if found else []


def _patterns(tables: Tables) -> list[str]:
    names: pd.Series = tables.patterns["pattern"]
    fast, slow = (int(names.isin([name, BOTH]).sum()) for name in (FAST, SLOW))
    return [
        f"{fast:,} {FAST}{'' if fast == 1 else 's'} and {slow:,} {SLOW}{'' if slow == 1 else 's'} "
        f"among the complete runs."
    ]


def _left_out(tables: Tables) -> list[str]:
    reasons = left_out(tables)
    return [f"Left out of every mean: {joined(reasons)}."] if reasons else []
