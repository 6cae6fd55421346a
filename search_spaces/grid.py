"""All points of a space whose dimensions are countable, found by asking it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import optuna

from search_spaces.dimensions import Ask, Real
from search_spaces.study import Study
from training.errors import UserError


class _Missing(Exception):
    """The space asked for a dimension that has no value yet."""

    def __init__(self, name: str, values: tuple[Any, ...]) -> None:
        self.name = name
        self.values = values


class _Scripted(optuna.trial.FixedTrial):
    """Answers from a script; stops at the first question that it has no answer to."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._answer(name, tuple(choices))

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> int:
        answer: int = self._answer(name, tuple(range(low, high + 1)))
        return answer

    def _answer(self, name: str, values: tuple[Any, ...]) -> Any:
        if name not in self._params:
            raise _Missing(name, values)
        return self._params[name]


def grid(study: Study, config: Any, pinned: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every point of the space once, in the order of its dimensions.

    Raises `UserError` for a dimension that is a continuous range.
    """
    for dimension in study.dimensions:
        if isinstance(dimension, Real) and dimension.name not in pinned:
            raise UserError(
                f"{dimension.name}: a grid cannot take a continuous range; pin it with --set"
            )
    yield from _below({}, study, config, pinned)


def _below(
    values: dict[str, Any], study: Study, config: Any, pinned: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    try:
        study.space(Ask(_Scripted(values), pinned), config, 0)
    except _Missing as missing:
        for value in missing.values:
            yield from _below({**values, missing.name: value}, study, config, pinned)
    else:
        yield values
