"""Figures for plotly.js, drawn from tables; nothing is computed here.

They are plain dicts: building thousands of traces through plotly's Python classes takes minutes.
Colours are named, not given: the page puts in those of its light or dark theme. Names are escaped,
since plotly.js reads a subset of HTML in labels.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

Figure = dict[str, Any]
_LONG = 60
_MANY = 50
"""Of more curves each one is paler."""


def scatter(
    points: pd.DataFrame,  # name, x, y, solid
    *,
    x_title: str,
    y_title: str,
    scale: float,
) -> Figure:
    """Draw a point for each row; those that are not solid are hollow."""
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": part["x"].tolist(),
            "y": (part["y"] * scale).tolist(),
            "text": [escaped(str(name)) for name in part["name"]],
            "marker": {
                "size": 10,
                "color": "series-0" if solid else "series-7",
                "symbol": "circle" if solid else "circle-open",
            },
            "hovertemplate": "%{text}<br>%{x} : %{y:.5~g}<extra></extra>",
        }
        for solid, part in points.groupby("solid", sort=False)
    ]
    layout = _layout(escaped(x_title), escaped(y_title))
    layout["showlegend"] = False
    layout["hovermode"] = "closest"
    return {"data": traces, "layout": layout}


def lines(
    curves: pd.DataFrame,  # run, step, value, state, colour
    mean: pd.DataFrame,  # step, value
    ends: Sequence[float],
    *,
    metric: str,
    scale: float,
    unit: str,
    solid: str,
) -> Figure:
    """Draw a line for each run, coloured by its group, the mean of the complete ones, and the ends.

    Runs of another state than `solid` are dashed. Groups are hidden and shown by the legend.
    """
    traces: list[dict[str, Any]] = []
    num_runs = curves["run"].nunique()
    groups = {name: place for place, name in enumerate(sorted(curves["colour"].unique(), key=str))}
    for run, part in curves.groupby("run", sort=False):
        group = str(part["colour"].iloc[0])
        first = not any(trace["legendgroup"] == group for trace in traces)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(part) == 1 else "lines",
                "x": part["step"].tolist(),
                "y": (part["value"] * scale).tolist(),
                "name": escaped(group) or "runs",
                "legendgroup": group,
                "showlegend": first and len(groups) > 1,
                "text": escaped(str(run)),
                "line": {
                    "width": 1.3,
                    "color": f"series-{groups[part['colour'].iloc[0]]}",
                    "dash": "solid" if part["state"].iloc[0] == solid else "dash",
                },
                "opacity": 0.75 if num_runs <= _MANY else 0.35,
                "hovertemplate": "%{text}<br>step %{x:,} : %{y:.5~g}<extra></extra>",
            }
        )
    if len(mean) > 1:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": mean["step"].tolist(),
                "y": (mean["value"] * scale).tolist(),
                "name": "mean of the complete runs",
                "legendgroup": "\0mean",
                "line": {"width": 3.5, "color": "ink"},
                "hovertemplate": "mean<br>step %{x:,} : %{y:.5~g}<extra></extra>",
            }
        )
    layout = _layout("step", escaped(metric) + (f" ({unit})" if unit else ""))
    layout["shapes"] = [_border(end) for end in ends]
    layout["hovermode"] = "closest"
    return {"data": traces, "layout": layout}


def bars(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[str],
    shown: Callable[[float], str],
    *,
    scale: float,
    title: str,
    weak: Sequence[bool],
) -> Figure:
    """Draw a bar for each phase with its interval; `weak` ones are pale."""
    ends = [json.loads(text) if text else None for text in intervals]
    trace = {
        "type": "bar",
        "x": [escaped(name) for name in names],
        "y": [_plain(value * scale) for value in values],
        "text": [shown(value) for value in values],
        "textposition": "inside",
        "insidetextanchor": "start",
        "marker": {"color": ["series-pale" if pale else "series-0" for pale in weak]},
        "hovertemplate": "%{x}: %{text}<extra></extra>",
        "error_y": {
            "type": "data",
            "symmetric": False,
            "color": "ink",
            "thickness": 1.5,
            "array": [_arm(end, 1, value, scale) for end, value in zip(ends, values, strict=True)],
            "arrayminus": [
                -_arm(end, 0, value, scale) for end, value in zip(ends, values, strict=True)
            ],
        },
    }
    layout = _layout("", title)
    layout["showlegend"] = False
    layout["xaxis"]["type"] = "category"
    return {"data": [trace], "layout": layout}


def range_test(
    steps: pd.DataFrame,  # lr, loss, smoothed
    suggested: pd.DataFrame,  # suggestion, lr, smoothed
) -> Figure:
    """Draw the loss over the LR on a logarithmic axis, and a mark for each suggestion."""
    shown = (("loss", "series-pale", 1.2), ("smoothed", "series-0", 3))
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": steps["lr"].tolist(),
            "y": [_plain(value) for value in steps[column]],
            "name": column,
            "line": {"width": width, "color": colour},
            "hovertemplate": "LR %{x:.3~g} : %{y:.5~g}<extra></extra>",
        }
        for column, colour, width in shown
    ]
    for place, row in enumerate(suggested.itertuples()):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [row.lr],
                "y": [row.smoothed],
                "name": f"{escaped(str(row.suggestion))}: {row.lr:.2g}",
                "marker": {"size": 12, "color": f"series-{place + 1}"},
                "hovertemplate": "%{fullData.name}<extra></extra>",
            }
        )
    layout = _layout("learning rate", "training loss")
    layout["xaxis"]["type"] = "log"
    return {"data": traces, "layout": layout}


def escaped(text: str) -> str:
    """Return a name as plotly.js shows it literally, cut where it is very long."""
    cut = text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"
    return html.escape(cut)


def _arm(ends: list[float] | None, which: int, value: float, scale: float) -> float:
    return 0.0 if ends is None or math.isnan(value) else (ends[which] - value) * scale


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _border(step: float) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": step,
        "x1": step,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"width": 1, "dash": "dot", "color": "faint"},
    }


def _layout(x: str, y: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": x}, "automargin": True, "zeroline": False},
        "yaxis": {"title": {"text": y}, "automargin": True, "zeroline": False},
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
    }
