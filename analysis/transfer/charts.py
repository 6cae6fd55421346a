"""Which tables the charts of the report are drawn from."""

from __future__ import annotations

import pandas as pd

from analysis.document import Chart
from analysis.plots import bars, scatter
from analysis.transfer.dimensions import MOMENT
from analysis.transfer.tables import Tables
from analysis.transfer.trials import FINISHED


def moment_charts(tables: Tables) -> list[Chart]:
    """Return the trials over the epoch of unfreezing, and what each span was ahead by."""
    found = tables.of(MOMENT)
    if found is None or not found[0].is_number:
        return []
    dimension, effects = found
    trials = tables.trials
    points = pd.DataFrame(
        {
            "name": trials.table.index.astype(str),
            "x": dimension.values.to_numpy(float),
            "y": trials.column("value"),
            "solid": (trials.table["status"] == FINISHED).to_numpy(bool),
        }
    ).dropna()
    unit = trials.unit
    title = f"{trials.metric} ({unit.name})" if unit.name else trials.metric
    figure = scatter(points, x_title=dimension.name, y_title=title, scale=unit.scale)
    note = "Each trial; hollow: it did not finish, and has what it had reached by then."
    charts = [Chart("moment", figure, note)]
    return [*charts, *effect_chart(tables, effects, "moment_effects", dimension.name)]


def effect_chart(tables: Tables, effects: pd.DataFrame, name: str, of: str) -> list[Chart]:
    """Return the differences of the levels of one dimension; nothing where there are none."""
    known = effects[effects["difference"].notna()]
    if known.empty:
        return []
    unit = tables.trials.unit
    figure = bars(
        known["level"].tolist(),
        known["difference"].tolist(),
        known["difference_interval"].tolist(),
        unit.gain,
        scale=unit.scale,
        title=f"ahead of the others ({unit.name})" if unit.name else "ahead of the others",
        weak=[not told for told in known["told"]],
    )
    level = tables.trials.options.level
    note = f"{of}: difference to the other finished trials with its {level:g}% interval; "
    return [Chart(name, figure, note + "pale where it includes zero.")]


def importance_chart(tables: Tables) -> list[Chart]:
    """Return the importance of each dimension; nothing where it cannot be told."""
    found = tables.importance
    if not found.is_told:
        return []
    figure = bars(
        found.table["dimension"].tolist(),
        found.table["importance"].tolist(),
        found.table["interval"].tolist(),
        lambda value: f"{100 * value:.0f}%",
        scale=100,
        title="share of the differences (%)",
        weak=[low <= 0 for low in _lows(found.table)],
    )
    return [Chart("importance", figure, "Middle 90 % of the splits; pale where it includes zero.")]


def _lows(table: pd.DataFrame) -> list[float]:
    return [float(text.strip("[]").split(",")[0]) for text in table["interval"]]
