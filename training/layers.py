"""Layer groups: a model's parameters under a few names, from the input to the head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from training.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

Layers = dict[str, tuple[str, ...]]
"""Group name -> the names of its parameters; ordered from the input to the head."""


def layers_by_pattern(model: nn.Module, table: Mapping[str, str]) -> Layers:
    """Group the parameters of `model` by an ordered table of name -> regular expression.

    The first pattern that matches the beginning of a parameter's name takes it. Raises `UserError`
    for a pattern that takes nothing and for a parameter that no pattern takes.
    """
    taken: dict[str, list[str]] = {layer: [] for layer in table}
    for name, _ in model.named_parameters():
        layer = next((key for key, pattern in table.items() if _matches(pattern, name)), None)
        if layer is None:
            raise UserError(f"layers: no pattern matches the parameter {name!r}; add a row for it")
        taken[layer].append(name)
    for layer, names in taken.items():
        if not names:
            raise UserError(
                f"layers.{layer}: the pattern {table[layer]!r} matches no parameter that an "
                f"earlier row left; parameters begin {_beginnings(model)}"
            )
    return {layer: tuple(names) for layer, names in taken.items()}


def layers_of_timm(model: nn.Module) -> Layers:
    """Group the parameters of a timm model by its own grouping: stem, blocks in order, head.

    Blocks keep timm's names (`layer4`, `stages.3`, `blocks.11`).
    """
    from timm.models import group_parameters

    matcher = model.group_matcher(coarse=True)  # type: ignore[operator]
    indexed: dict[int, list[str]] = group_parameters(model, matcher)
    blocks = matcher["blocks"]
    patterns = [blocks] if isinstance(blocks, str) else [pattern for pattern, _ in blocks]
    last = max(indexed)
    layers: Layers = {}
    for index in sorted(indexed):
        names = indexed[index]
        layer = "head" if index == last else _block_name(patterns, names) if index else "stem"
        layers[layer] = (*layers.get(layer, ()), *names)
    return layers


def match_layers(
    table: Mapping[str, object], layers: tuple[str, ...], where: str
) -> dict[str, str]:
    """Return for each layer group the first row of `table` whose glob matches it.

    Every group must be covered and every row must take a group that no earlier row takes (a "*"
    may be left with nothing), or `UserError` says which.
    """
    return dict(_match(tuple(table), layers, where))


@lru_cache(maxsize=1024)  # a search asks the same for every segment of every trial
def _match(patterns: tuple[str, ...], layers: tuple[str, ...], where: str) -> dict[str, str]:
    rows: dict[str, str] = {}
    for layer in layers:
        row = next((pattern for pattern in patterns if fnmatchcase(layer, pattern)), None)
        if row is None:
            raise UserError(
                f"{where}: no row covers the layer group {layer!r}; "
                'give it a multiplier or "frozen" (a last row "*" covers the rest)'
            )
        rows[layer] = row
    for pattern in patterns:
        matched = [layer for layer in layers if fnmatchcase(layer, pattern)]
        if not matched:
            raise unknown(f"layer group in {where}:", pattern, layers)
        if pattern not in rows.values() and pattern != "*":
            raise UserError(
                f"{where}: the row {pattern!r} has no effect: {rows[matched[0]]!r} stands before "
                f"it and takes {matched[0]!r}; the first match wins"
            )
    return rows


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.match(pattern, name) is not None
    except re.error as error:
        raise UserError(f"layers: {pattern!r} is no regular expression: {error}") from None


def _block_name(patterns: list[str], names: list[str]) -> str:
    found = (re.match(pattern, name) for name in names for pattern in patterns)
    return next((match.group(0) for match in found if match), names[0].rsplit(".", 1)[0])


def _beginnings(model: nn.Module) -> str:
    return ", ".join(dict.fromkeys(name.split(".")[0] for name, _ in model.named_parameters()))
