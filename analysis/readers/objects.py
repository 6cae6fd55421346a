"""Rows from JSON objects, one for each record of a log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from analysis.readers.columns import RUNS, Layout, normal
from analysis.readers.reader import LogFile, Parameter, Row
from analysis.readers.text import clean, flat, lines, number, parse_object, real

_NAN = math.nan
_NUMBERS = (float, int)
_ALL_FLOAT = frozenset({float})
_ELSEWHERE = "see schedule.yaml"
"""What a search of thaw names in place of a schedule; no parameter."""


def objects(file: LogFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON object of each line; count lines that hold none, but for blank ones."""
    for at, line in enumerate(lines(file.path), 1):
        item = parse_object(line)
        if item is not None:
            yield at, item
        elif line.strip():
            file.broken(at)


def axes_of(
    items: Iterable[dict[str, Any]], layout: Callable[[list[str]], Layout] = Layout.of
) -> Layout:
    """Return the axes that the objects have as numbers."""
    names: dict[str, None] = {}
    for item in items:
        for name, value in flat(item):
            if number(value) is not None or (isinstance(value, str) and normal(name) in RUNS):
                names[name] = None
    return layout(list(names))


def rows_of(
    file: LogFile, items: Iterable[tuple[int, dict[str, Any]]], layout: Layout
) -> Iterator[Row]:
    """Yield a row for each object.

    One that has an epoch but not the step of others belongs to the last step before it. One with
    neither is the configuration where it comes first, and broken anywhere else.
    """
    last, begun = 0.0, False
    for at, item in items:
        values, axes = _split(item, layout)
        epoch = axes.get(layout.epoch, _NAN)
        step = axes.get(layout.step, epoch if not layout.step else last if axes else _NAN)
        if not math.isfinite(step):
            if begun or axes or not _configuration(file, item):
                file.broken(at)
            continue
        last, begun = step, True
        run = clean(str(item.get(layout.run, ""))) if layout.run else ""
        yield Row(step, values, epoch, axes.get(layout.wall_s, _NAN), run)


def _split(item: dict[str, Any], layout: Layout) -> tuple[dict[str, float], dict[str, float]]:
    """Return metrics and axes among the numbers of an object."""
    metrics, others = layout.plan(tuple(item))
    axes = {shown: real(item[name]) for name, shown in others if type(item[name]) in _NUMBERS}
    values: dict[str, Any] = {shown: item[name] for name, shown in metrics}
    if not _ALL_FLOAT.issuperset(map(type, values.values())):
        values = _numbers(values, layout, axes)
    return values, axes


def _numbers(leaves: dict[str, Any], layout: Layout, axes: dict[str, float]) -> dict[str, float]:
    """Return the numbers among `leaves`, also in nested objects, whose axes go to `axes`."""
    values: dict[str, float] = {}
    for name, value in leaves.items():
        if type(value) in _NUMBERS:
            values[name] = real(value)
        elif type(value) is dict:
            for below, leaf in flat(value):
                shown = f"{name}/{below}"
                if (found := number(leaf)) is not None:
                    (values if layout.is_metric(shown) else axes)[shown] = found
    return values


def _configuration(file: LogFile, item: dict[str, Any]) -> bool:
    """Take in the settings in an object before the first row; tell whether it has any."""
    file.params.update(parameters(item))
    return bool(item)


def parameters(item: dict[str, Any]) -> dict[str, Parameter]:
    """Return the plain values of nested settings, long text cut short."""
    found: dict[str, Parameter] = {}
    for name, value in flat(item):
        if isinstance(value, bool | int | float):
            found[name] = value
        elif isinstance(value, str) and value != _ELSEWHERE:
            found[name] = clean(value)[:200]
    return found
