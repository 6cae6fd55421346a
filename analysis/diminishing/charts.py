"""Which tables the charts of the report are drawn from."""

from __future__ import annotations

from analysis.diminishing.runs import COMPLETE
from analysis.diminishing.summary import heading
from analysis.diminishing.tables import Tables
from analysis.document import Chart
from analysis.plots import bars, lines


def charts(tables: Tables) -> dict[str, Chart]:
    """Return the charts by name: curves, mean gain of each phase, gain for compute."""
    return {"curves": _curves(tables), "phases": _phases(tables), "cost": _cost(tables)}


def _curves(tables: Tables) -> Chart:
    plan, num = tables.plan, int(tables.drawn["run"].nunique())
    figure = lines(
        tables.drawn,
        tables.mean_curve,
        plan.ends,
        metric=plan.metric,
        scale=plan.unit.scale,
        unit=plan.unit.name,
        solid=COMPLETE,
    )
    whole = int((tables.runs["num_points"] > 0).sum())
    few = f"{num:,} of {whole:,} curves are drawn, spread evenly from the best to the worst. "
    dashed = "" if (tables.drawn["state"] == COMPLETE).all() else "Dashed: not complete. "
    told = "Vertical lines: phase ends. Thick: the mean of the complete runs."
    return Chart("curves", figure, (few if num < whole else "") + dashed + told)


def _phases(tables: Tables) -> Chart:
    plan, phases = tables.plan, tables.phases
    figure = bars(
        phases["phase"].tolist(),
        phases["mean_gain"].tolist(),
        phases["interval"].tolist(),
        plan.unit.gain,
        scale=plan.unit.scale,
        title=heading("mean gain", plan.unit.name),
        weak=phases["within_noise"].fillna(False).tolist(),
    )
    return Chart("phases", figure, f"Mean gain by phase with its {plan.options.level:g}% interval.")


def _cost(tables: Tables) -> Chart:
    plan, cost = tables.plan, tables.cost_benefit
    figure = bars(
        cost["phase"].tolist(),
        cost["gain_per_compute"].tolist(),
        cost["interval"].tolist(),
        plan.unit.gain,
        scale=plan.unit.scale,
        title="gain per base length",
        weak=[not pays for pays in cost["pays"]],
    )
    return Chart("cost", figure, "What a base length of compute gains; pale where it does not pay.")
