"""The dimensions of a search: what they are called, what they are about, their levels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
PARAM = "param:"
MOMENT, PARTIAL, BATCHNORM, MODE = "moment", "partial", "batchnorm", "mode"
RULE, RESIZE, EMA = "rule", "resize", "ema"
ROLES: dict[str, tuple[str, ...]] = {
    MOMENT: ("unfreeze_epoch", "unfreeze_after", "head_epochs"),
    PARTIAL: ("partial_epochs", "partial", "partial_first"),
    BATCHNORM: ("frozen_batchnorm", "batchnorm"),
    RULE: ("unfreeze_rule", "rule"),
    MODE: ("mode", "strategy"),
    RESIZE: ("grows", "resize", "resizing", "image_sizes"),
    EMA: ("ema", "ema_decay"),
}
"""What a report asks about -> names that a dimension of it may have, the likeliest first."""
_NO_DIMENSION = frozenset({"origin", "seed"})
"""Columns of a confirmation."""
_MOST_LEVELS = 5
_PARTS = 3
"""Into so many parts a dimension of many values is cut."""


@dataclass(frozen=True)
class Dimension:
    """A dimension in which trials differ."""

    name: str
    values: pd.Series
    """By trial; missing where the study did not ask for it."""
    levels: pd.Series
    """By trial, as text: the value, or the part of the range in which it lies; "" where missing."""
    order: tuple[str, ...]
    """All levels, from the lowest on."""

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return is_number(self.values)

    def groups(self) -> list[tuple[str, pd.Series]]:
        """Return each level, and which trials have it."""
        return [(level, self.levels == level) for level in self.order]


def dimensions_of(runs: pd.DataFrame, counted: pd.Series | None = None) -> list[Dimension]:
    """Return the hyperparameters in which the trials differ, in the order of the study.

    The range of a dimension of many values is cut so that the `counted` trials are spread evenly;
    without any, all are.
    """
    found = []
    for column in map(str, runs.columns):
        name = column.removeprefix(PARAM)
        if not column.startswith(PARAM) or name in _NO_DIMENSION:
            continue
        values = runs[column]
        if values.dropna().map(repr).nunique() > 1:
            found.append(_dimension(name, values, counted))
    return found


def role_of(dimensions: list[Dimension], role: str) -> Dimension | None:
    """Return the dimension that a question is about, None where the search did not ask it."""
    by_name = {dimension.name: dimension for dimension in dimensions}
    return next((by_name[name] for name in ROLES[role] if name in by_name), None)


def is_number(values: pd.Series) -> bool:
    """Tell whether all values that are there are numbers."""
    kinds = {type(value) for value in values.dropna()}
    return bool(kinds) and all(
        issubclass(kind, int | float | np.number) and not issubclass(kind, bool | np.bool_)
        for kind in kinds
    )


def shown(value: object) -> str:
    """Return a value as it stands in tables."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return f"{value + 0:.3g}" if isinstance(value, float | int) else str(value)


def _dimension(name: str, values: pd.Series, counted: pd.Series | None) -> Dimension:
    known = values.dropna()
    if not is_number(values):
        levels = values.map(shown).where(values.notna(), "")
        return Dimension(name, values, levels, tuple(sorted(set(levels) - {""})))
    numbers = values.astype(float)
    distinct = np.sort(known.astype(float).unique())
    if len(distinct) <= _MOST_LEVELS:
        levels = numbers.map(shown).where(values.notna(), "")
        return Dimension(name, numbers, levels, _once(shown(float(v)) for v in distinct))
    spread = numbers[counted].dropna() if counted is not None else numbers.dropna()
    return _cut(name, numbers, distinct, spread if len(spread) else numbers.dropna())


def _cut(name: str, numbers: pd.Series, distinct: Floats, spread: pd.Series) -> Dimension:
    """Return a dimension of many values, its range in three parts with as many of `spread`."""
    inner = np.quantile(spread, np.arange(1, _PARTS) / _PARTS)
    part = np.searchsorted(inner, numbers.to_numpy(float), side="left")
    names = {}
    for place in range(_PARTS):
        inside = distinct[np.searchsorted(inner, distinct, side="left") == place]
        if len(inside):
            ends = (shown(float(inside[0])), shown(float(inside[-1])))
            names[place] = " to ".join(dict.fromkeys(ends))
    levels = pd.Series([names.get(int(at), "") for at in part], numbers.index)
    return Dimension(name, numbers, levels.where(numbers.notna(), ""), _once(names.values()))


def _once(levels: Iterable[str]) -> tuple[str, ...]:
    """Return levels that look alike only once: they are one."""
    return tuple(dict.fromkeys(levels))
