"""Dimensions of a search space: typed, with range, unit and a sentence each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna

from training.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values."""

    name: str
    values: tuple[Any, ...]
    unit: str = ""
    help: str = ""

    def suggest(self, trial: optuna.trial.BaseTrial) -> Any:
        """Ask Optuna for a value."""
        return trial.suggest_categorical(self.name, self.values)

    def accept(self, value: Any) -> Any:
        """Return `value` if it is allowed; raise `UserError` that says what is."""
        for allowed in self.values:
            if value == allowed and isinstance(value, bool) == isinstance(allowed, bool):
                return allowed
        raise UserError(f"{self.name}: {value!r} is not allowed; allowed: {self.range()}")

    def range(self) -> str:
        """Return the values as text."""
        return " | ".join(_text(value) for value in self.values)


@dataclass(frozen=True, kw_only=True)
class Int:
    """A whole number from `low` to `high`, both included."""

    name: str
    low: int
    high: int
    unit: str = ""
    help: str = ""

    def suggest(self, trial: optuna.trial.BaseTrial) -> int:
        """Ask Optuna for a value."""
        return trial.suggest_int(self.name, self.low, self.high)

    def accept(self, value: Any) -> int:
        """Return `value` if it is allowed; raise `UserError` that says what is."""
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        ):
            return value
        raise UserError(
            f"{self.name}: {value!r} is not allowed; allowed: a whole number, {self.range()}"
        )

    def range(self) -> str:
        """Return both ends as text."""
        return f"{self.low} .. {self.high}"


@dataclass(frozen=True, kw_only=True)
class Real:
    """A number from `low` to `high`, drawn evenly or evenly in its logarithm."""

    name: str
    low: float
    high: float
    log: bool = False
    unit: str = ""
    help: str = ""

    def suggest(self, trial: optuna.trial.BaseTrial) -> float:
        """Ask Optuna for a value."""
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def accept(self, value: Any) -> float:
        """Return `value` if it is allowed; raise `UserError` that says what is."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and math.isfinite(value) and self.low <= value <= self.high:
            return float(value)
        raise UserError(f"{self.name}: {value!r} is not allowed; allowed: a number, {self.range()}")

    def range(self) -> str:
        """Return both ends as text."""
        return f"{self.low:g} .. {self.high:g}{' (log)' if self.log else ''}"


Dimension = Choice | Int | Real


class Ask:
    """How a study asks for values: those that are pinned are taken, the others are suggested."""

    def __init__(self, trial: optuna.trial.BaseTrial, pinned: Mapping[str, Any]) -> None:
        """Ask `trial` for what is not in `pinned`."""
        self._trial = trial
        self._pinned = pinned
        self.values: dict[str, Any] = {}

    def __call__(self, dimension: Dimension, *, low: int | None = None) -> Any:
        """Return the value of a dimension in this trial; `low` narrows an `Int`."""
        if low is not None and isinstance(dimension, Int):
            dimension = replace(dimension, low=low)
        pinned = dimension.name in self._pinned
        value = self._pinned[dimension.name] if pinned else dimension.suggest(self._trial)
        self.values[dimension.name] = value
        return value

    def pinned(self, dimension: Dimension) -> Any:
        """Return what a dimension is pinned to, asked for or not; None where it is not."""
        return self._pinned.get(dimension.name)


class Given(optuna.trial.FixedTrial):
    """Answers from given values; what they leave open or rule out gets an allowed one."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return the given value, or the first."""
        return self._params.get(name, choices[0])

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> int:
        """Return the given value, not below `low`, or the last."""
        return max(low, int(self._params.get(name, high)))

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> float:
        """Return the given value, or the smallest."""
        return float(self._params.get(name, low))


def _text(value: Any) -> str:
    return (
        f"{value:g}"
        if isinstance(value, float)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
