"""A plan as a person reads it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thaw.plan import Plan


def show_plan(plan: Plan, console: Console) -> None:
    """Print segments, hours, what breaks sharing, and the study's own starting points."""
    console.print(
        Text.assemble((plan.study, "bold"), f": {plan.trials} trials, nothing is trained")
    )
    segments = Table("", "segments", "device-hours", box=None, pad_edge=False)
    for name, number, hours in (
        ("naive: every trial from nothing", plan.segments_naive, plan.hours_plain),
        ("careful: every trial from what all have in common", plan.segments_careful, None),
        ("thaw: each distinct segment once", plan.segments_shared, None),
        ("of these in the store already", plan.segments_stored, None),
        ("to be trained", plan.segments_shared - plan.segments_stored, plan.hours_shared),
    ):
        segments.add_row(name, str(number), _hours(hours))
    console.print(segments)
    careful = plan.segments_careful / plan.segments_shared
    console.print(f"merge rate {plan.merge_rate:.2f} (naive / thaw), {careful:.2f} against careful")
    if plan.hours_plain is None:
        console.print("no hours: the store has no record of these segments; give --hours-per-epoch")
    broken = Table("dimension", "merge rate if all trials agreed on it", box=None, pad_edge=False)
    for name, rate in sorted(plan.sharing_by_dimension.items(), key=lambda item: -item[1]):
        broken.add_row(name, f"{rate:.2f}")
    console.print("\nwhat breaks sharing:", broken, sep="\n")
    points = Table("starting point", "stages", "device-hours", box=None, pad_edge=False)
    for strategy in plan.strategies:
        stages = ", ".join(f"{stage['name']} {stage['epochs']}" for stage in strategy["stages"])
        points.add_row(strategy["name"], stages, _hours(strategy["hours"]))
    console.print("\nthe study's own starting points (stage, epochs):", points, sep="\n")
    if plan.costs:
        console.print("\nwhat strategies cost (epochs, device-hours):", _costs(plan), sep="\n")


def _costs(plan: Plan) -> Table:
    """Return a row for each strategy, and for each model what its share of it costs."""
    models = list(dict.fromkeys(model for cost in plan.costs for model in cost["models"]))
    table = Table("strategy", *models, "total", box=None, pad_edge=False)
    for cost in plan.costs:
        parts = [cost["models"].get(model, {"epochs": 0, "hours": 0.0}) for model in models]
        shares = [f"{part['epochs']} ep, {_whole_hours(part['hours'])}" for part in parts]
        table.add_row(cost["name"], *shares, _whole_hours(cost["hours"]))
    return table


def _whole_hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.0f} h"


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.3g}"
