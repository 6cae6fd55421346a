"""The section on length with the schedule tuned anew: envelope, chart and costs."""

from __future__ import annotations

from analysis.diminishing.retuned import best_of
from analysis.diminishing.summary import heading
from analysis.diminishing.tables import Tables
from analysis.document import Block, Chart, Section, Text
from analysis.plots import bars
from analysis.shown import counts, grid, numbers, steps, value_range, words

_NO_LENGTHS = (
    "The logs hold no finished runs of schedules of several lengths (hyperparameter `length`), as "
    "a search of the study `training_length` makes them: what a length would give with its own "
    "schedule, and what a wrong choice costs, is not known from them."
)


def retuned_section(tables: Tables) -> Section:
    """Metric against length, each with its best schedule, and what other choices lose."""
    title = "Length with the schedule tuned anew"
    found, plan = tables.retuned, tables.plan
    if found.envelope.empty:
        return Section(title, (Text(_NO_LENGTHS),))
    value, most = plan.unit.value, plan.options.max_rows
    envelope = {
        "length": numbers("length", "{:g}".format),
        "steps": steps("ends at"),
        "schedule": words("best schedule"),
        "value": numbers(heading(plan.metric, plan.unit.name), value),
        "interval": value_range(f"{plan.options.level:g}% interval", plan.unit),
        "interval_from": words("from"),
        "num_schedules": counts("of schedules"),
        "hours": numbers("device-hours", "{:.3g}".format),
    }
    costs = {
        "choice": words("choice"),
        "length": numbers("length", "{:g}".format),
        "value": numbers("gives", value),
        "best": numbers("best", value),
        "loss": numbers("loses", lambda loss: plan.unit.gain(loss).lstrip("+")),
        "hours_lost": numbers("device-hours too many", "{:.3g}".format),
    }
    best = best_of(found.envelope, plan)
    told = (
        f"The best value at each length over the schedules that were trained to their end there. "
        f"Best of all: {value(best['value'])} at length {best['length']:g} ({best['schedule']}). "
        "The best of several noisy values is biased upward, the more so the more there are."
        f"{_apart(tables)}"
    )
    blocks: list[Block] = [
        Text(told),
        _chart(tables),
        grid("envelope", found.envelope, envelope, most),
        Text("What a wrong choice costs, measured on the same runs:"),
        grid("wrong_choices", found.costs, costs, most),
    ]
    return Section(title, tuple(blocks))


def _apart(tables: Tables) -> str:
    if not tables.retuned.apart:
        return ""
    lengths = ", ".join(f"{length:g}" for length in tables.retuned.apart)
    return (
        f" But at length {lengths} no combination of labels has runs of all these schedules: the "
        "best there may only be the one on the easiest data."
    )


def _chart(tables: Tables) -> Chart:
    plan, envelope = tables.plan, tables.retuned.envelope
    figure = bars(
        [f"{length:g}" for length in envelope["length"]],
        envelope["value"].tolist(),
        envelope["interval"].tolist(),
        plan.unit.value,
        scale=plan.unit.scale,
        title=heading(plan.metric, plan.unit.name),
        weak=[False] * len(envelope),
    )
    return Chart("envelope", figure, "Best value at each length, with its interval.")
