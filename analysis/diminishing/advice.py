"""The sections that advise: how long to train, where compute pays, what more would bring."""

from __future__ import annotations

import math
from collections.abc import Callable

from analysis.diminishing.lengths import EVERYTHING, where_it_drops
from analysis.diminishing.summary import joined
from analysis.diminishing.tables import Tables
from analysis.document import Block, Cell, Chart, Grid, Section, Text
from analysis.shown import (
    counts,
    gain_range,
    grid,
    multiples,
    numbers,
    per_cent,
    share_range,
    shown_multiple,
    steps,
    words,
)
from analysis.steps import shown_step


def recommendations_section(tables: Tables) -> Section:
    """The shortest length for each purpose."""
    plan = tables.plan
    shares = joined([f"{share:g}%" for share in plan.options.shares])
    text = (
        f"The shortest of {', '.join(map(shown_step, plan.ends))} that keeps {shares} of the total "
        "gain, shares compared in whole per cent; compute in multiples of "
        f"{shown_step(plan.base)}."
    )
    shown = {
        "purpose": words("purpose"),
        "length": steps("length"),
        "compute_multiple": multiples("compute"),
        "kept_share": per_cent("keeps"),
        "interval": share_range("interval"),
        "gain": numbers("gain", plan.unit.gain),
        "num_runs": counts("runs"),
        "remark": words("remark"),
    }
    everywhere = tables.recommendations["scope"] == EVERYTHING
    most = plan.options.max_rows
    blocks: list[Block] = [Text(text)]
    blocks += [grid("recommendations", tables.recommendations[everywhere], shown, most)]
    if not everywhere.all():
        blocks += [Text("By group:"), _by_group(tables)]
    return Section("Recommendations", tuple(blocks))


def _by_group(tables: Tables) -> Grid:
    """One row a group, with its length and compute for each purpose."""
    table = tables.recommendations[tables.recommendations["scope"] != EVERYTHING]
    purposes = list(dict.fromkeys(table["purpose"]))
    rows = []
    for (scope, group), part in table.groupby(["scope", "group"], sort=False):
        lengths = zip(part["length"], part["compute_multiple"], strict=True)
        first = part.iloc[0]
        rows.append(
            (
                *(Cell(str(name), str(name).lower()) for name in (scope, group)),
                *(_length_cell(length, multiple) for length, multiple in lengths),
                Cell(f"{first['num_runs']:,}", float(first["num_runs"])),
                Cell(str(first["remark"]), str(first["remark"])),
            )
        )
    most = tables.plan.options.max_rows
    return Grid(
        name="recommendations_by_group",
        headings=("label", "group", *purposes, "runs", "remark"),
        rows=tuple(rows[:most]),
        num_rows=len(rows),
        numeric=(False, False, *(True for _ in purposes), True, False),
        file="recommendations",
    )


def _length_cell(length: float, multiple: float) -> Cell:
    if math.isnan(length):
        return Cell("", "")
    return Cell(f"{shown_step(length)} ({shown_multiple(multiple)})", length)


def cost_section(tables: Tables, charts: dict[str, Chart]) -> Section:
    """Gain per unit of compute."""
    plan = tables.plan
    gain = plan.unit.gain
    shown = {
        "phase": words("phase"),
        "compute_multiple": multiples("compute"),
        "mean_gain": numbers("mean gain", gain),
        "gain_per_compute": numbers("gain per base length", gain),
        "interval": gain_range("interval", plan.unit),
        "relative_to_first": per_cent("of the first"),
    }
    if tables.cost_benefit["num_timed"].any():
        shown["hours"] = numbers("hours", lambda value: f"{value:.3g}")
        shown["gain_per_hour"] = numbers("gain per hour", _per_hour(plan.unit.scale))
        shown["num_timed"] = counts("timed runs")
    table = grid("cost_benefit", tables.cost_benefit, shown, plan.options.max_rows)
    phase = where_it_drops(tables.cost_benefit)
    threshold = f"{plan.options.drop:g}% of the first phase"
    found = f"falls below {threshold} in {phase}" if phase else f"stays above {threshold}"
    text = f"A unit of compute is the base length, {shown_step(plan.base)}. "
    known = tables.cost_benefit["mean_gain"].notna().any()
    text += f"Its gain {found}." if known else ""
    return Section("Cost and benefit", (Text(text), charts["cost"], table))


def ahead_section(tables: Tables) -> Section:
    """What more training would bring, run by run."""
    plan, ahead = tables.plan, tables.ahead
    step = shown_step(ahead.step)
    if ahead.table.empty:
        return Section("Looking ahead", (Text(f"No run is left to forecast to {step}."),))
    text = (
        f"Where each run would be at {step} if it went on at the learning rate it has: a longer "
        "schedule with a decay of its own is another run. Bands hold the later value in 80% of "
        f"back-tests. {' '.join(ahead.notes)}"
    )
    if ahead.num_left_out:
        text += f" {ahead.num_left_out:,} runs more were not forecast (--max-forecasts)."
    worth = f" of {plan.unit.gain(plan.options.worth)}" if plan.options.worth else ""
    shown = {
        "run": words("run"),
        "seen_step": steps("now at"),
        "last_value": numbers("now", plan.unit.value),
        "predicted": numbers(f"at {step}", plan.unit.value),
        "lo80": numbers("80% from", plan.unit.value),
        "hi80": numbers("to", plan.unit.value),
        "expected_gain": numbers("gain", plan.unit.gain),
        "chance": numbers(f"chance of a gain{worth}", lambda value: f"{value:.0%}"),
        "step_of_95": steps("95% of it at", about=True),
    }
    if ahead.table["gain_per_hour"].notna().any():
        shown["gain_per_hour"] = numbers("gain per device-hour", _per_hour(plan.unit.scale))
    shown["flags"] = words("doubts")
    return Section(
        "Looking ahead", (Text(text), grid("forecasts", ahead.table, shown, plan.options.max_rows))
    )


def _per_hour(scale: float) -> Callable[[float], str]:
    return lambda value: f"{value * scale:+.2g}"
