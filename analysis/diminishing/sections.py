"""The sections of the report below its summary, each made from the tables."""

from __future__ import annotations

import math

from analysis.diminishing.patterns import BOTH, FAST, SLOW
from analysis.diminishing.runs import COMPLETE
from analysis.diminishing.summary import doubtful, heading
from analysis.diminishing.tables import Tables
from analysis.document import Block, Cell, Chart, Grid, Section, Text
from analysis.shown import (
    Shown,
    counts,
    gain_range,
    grid,
    numbers,
    per_cent,
    step_range,
    steps,
    words,
)
from analysis.steps import column, shown_step

_STATES = {"running": "weak", "incomplete": "weak", "censored": "weak"}
_WEAK = "≈"
"""Marks a gain that cannot be told from noise."""


def phases_section(tables: Tables, charts: dict[str, Chart]) -> Section:
    """What each phase gained in the mean."""
    plan = tables.plan
    gain = plan.unit.gain
    shown = {
        "phase": words("phase"),
        "mean_gain": numbers(heading("mean gain", plan.unit.name), gain),
        "interval": gain_range(f"{plan.options.level:g}% interval", plan.unit),
        "relative_to_first": per_cent("of the first"),
        "cumulative": numbers("cumulative", gain),
        "share_of_total": per_cent("share so far"),
        "own_share": per_cent("own share"),
        "num_runs": counts("runs"),
        "noise": numbers("noise", lambda value: gain(value).lstrip("+")),
    }
    table = grid("phases", tables.phases, shown, plan.options.max_rows)
    doubts = Text(" ".join(doubtful(tables)))
    text = (
        f"The mean over the {tables.num(COMPLETE):,} complete runs of the difference between both "
        f"ends of a phase; {'higher' if plan.sign > 0 else 'lower'} {plan.metric} is better, and a "
        "gain is positive where it got better. Intervals are drawn over configurations."
    )
    more = [doubts] if doubts.text else []
    return Section(
        "Marginal gain per phase",
        (Text(text), charts["curves"], charts["phases"], table, *more),
    )


def checkpoints_section(tables: Tables) -> Section:
    """Values at the checkpoints, the peak, and the biased best beside the robust last."""
    plan = tables.plan
    values = {column(step): numbers(shown_step(step), plan.unit.value) for step in plan.checkpoints}
    shown = {
        "run": words("run"),
        **values,
        "peak_step": steps("peak at"),
        "best": numbers("best", plan.unit.value),
        "robust_last": numbers("last (median)", plan.unit.value),
        "last_step": steps("ends at"),
        "state": words("state", _STATES),
    }
    text = (
        "The best of a noisy metric is biased upward; the median of the last 3 to 5 evaluations is "
        "not. An empty cell means that the run has no evaluation there."
    )
    table = grid("checkpoints", tables.checkpoints, shown, plan.options.max_rows)
    return Section("Performance at checkpoints", (Text(text), table))


def patterns_section(tables: Tables) -> Section:
    """Fast saturators and slow learners, and the means by group."""
    plan = tables.plan
    text = (
        f"A fast saturator peaks before {shown_step(plan.fast_peak)} or gains nothing after "
        f"{shown_step(plan.no_gain_after)}. A slow learner peaks after "
        f"{shown_step(plan.slow_peak)} or still improves at its end. Only complete runs are judged."
    )
    most = plan.options.max_rows
    blocks: list[Block] = [Text(text)]
    if len(tables.groups):
        blocks.append(grid("groups", tables.groups, _group_columns(tables), most))
    marks = {FAST: "weak", SLOW: "good", BOTH: "weak"}
    shown = {
        "run": words("run"),
        "pattern": words("pattern", marks),
        "peak_step": steps("peak at"),
        "evidence": words("evidence"),
    }
    return Section("Patterns", (*blocks, grid("patterns", tables.patterns, shown, most)))


def _group_columns(tables: Tables) -> dict[str, Shown]:
    gain = tables.plan.unit.gain
    return {
        "label": words("label"),
        "group": words("group"),
        "num_runs": counts("runs"),
        "mean_peak_step": steps("mean peak", about=True),
        "interval": step_range("interval"),
        "peaks_at_end": counts("peak at end"),
        "fast_saturators": counts("fast"),
        "slow_learners": counts("slow"),
        **{name: numbers(name, gain) for name in tables.plan.phase_names},
        "total_gain": numbers("total", gain),
    }


def marginal_section(tables: Tables) -> Section:
    """What each run gained in each phase; gains within noise are marked."""
    plan = tables.plan
    head = tables.marginal_gains.head(plan.options.max_rows)
    columns = zip(
        head["run"],
        head["noise"],
        head["state"],
        *(head[name] for name in plan.phase_names),
        strict=True,
    )
    rows = tuple(
        (
            Cell(str(run), str(run).lower()),
            *(_gain_cell(tables, gain, noise) for gain in gains),
            Cell(str(state), str(state), _STATES.get(str(state), "")),
        )
        for run, noise, state, *gains in columns
    )
    table = Grid(
        name="marginal_gains",
        headings=("run", *plan.phase_names, "state"),
        rows=rows,
        num_rows=len(tables.marginal_gains),
        numeric=(False, *(True for _ in plan.phase_names), False),
    )
    text = (
        f"{_WEAK} marks a gain below {plan.options.noise:g} standard deviations of the noise of "
        "its own curve. Runs that are not complete are listed, and enter no mean."
    )
    return Section("Marginal gains by configuration", (Text(text), table))


def _gain_cell(tables: Tables, gain: float, noise: float) -> Cell:
    if math.isnan(gain):
        return Cell("", "")
    weak = abs(gain) < noise
    text = tables.plan.unit.gain(gain) + (f" {_WEAK}" if weak else "")
    return Cell(text, gain, "weak" if weak else "bad" if gain < 0 else "")
