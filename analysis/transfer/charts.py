"""Which tables the charts of the report are drawn from."""

from __future__ import annotations

import pandas as pd

from analysis.document import Chart
from analysis.metrics import Unit
from analysis.plots import bars, scatter
from analysis.transfer.tables import Tables
from analysis.transfer.trials import FINISHED


def moment_chart(tables: Tables) -> list[Chart]:
    """Return the trials over the epoch of unfreezing; nothing where that is not known."""
    trials = tables.trials
    points = pd.DataFrame(
        {
            "name": trials.table.index.astype(str),
            "x": trials.column("head_epochs"),
            "y": trials.column("value"),
            "solid": (trials.table["status"] == FINISHED).to_numpy(bool),
        }
    ).dropna()
    if points.empty:
        return []
    figure = scatter(
        points,
        x_title="epochs of the head alone",
        y_title=titled(trials.metric, trials.unit),
        scale=trials.unit.scale,
    )
    note = "Each trial; hollow: it did not finish, and has what it had reached by then."
    return [Chart("moment", figure, note)]


def strategy_charts(tables: Tables) -> list[Chart]:
    """Return what freezing and unfreezing gained and took, against neither."""
    found, unit = tables.strategies, tables.trials.unit
    known = found[found["ahead"].notna()]
    if known.empty:
        return []
    names = known["strategy"].tolist()
    ahead = bars(
        names,
        known["ahead"].tolist(),
        known["ahead_interval"].tolist(),
        unit.gain,
        scale=unit.scale,
        title=titled("ahead of freezing nothing", unit),
        weak=[not told for told in known["told"]],
    )
    slower = bars(
        names,
        known["slower"].tolist(),
        known["slower_interval"].tolist(),
        lambda value: f"{100 * value:+.0f}%",
        scale=100,
        title="time against freezing nothing (%)",
        weak=[False] * len(known),
    )
    level = f"{tables.trials.options.level:g}% intervals"
    return [
        Chart(
            "strategy_gain", ahead, f"Against runs that freeze nothing; {level}; pale: may be 0."
        ),
        Chart("strategy_time", slower, f"Device-seconds of a run, likewise; {level}."),
    ]


def titled(name: str, unit: Unit) -> str:
    """Return the title of an axis with its unit."""
    return f"{name} ({unit.name})" if unit.name else name


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
        title=titled("ahead of the others", unit),
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
