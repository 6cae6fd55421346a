"""The headline and the sentences of the summaries: what was found, what is not known, what next."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pandas as pd

from analysis.shown import shown_range
from analysis.transfer.claims import CONFIRMED, REFUTED
from analysis.transfer.contrast import FEWEST, Contrast
from analysis.transfer.dimensions import BATCHNORM, EMA, MOMENT, PARTIAL, RESIZE, RULE
from analysis.transfer.strategies import FREEZE
from analysis.transfer.tables import Tables

_QUESTIONS = {
    MOMENT: "When to unfreeze",
    PARTIAL: "Partial before full",
    RULE: "A fixed epoch or a rule",
    BATCHNORM: "BatchNorm of frozen groups",
    RESIZE: "Resizing",
    EMA: "Averaged weights",
}
_ENOUGH = 12
"""Finished trials with which levels can be compared at all."""


def headline(tables: Tables) -> tuple[tuple[str, str], ...]:
    """Return the figures of the header."""
    trials, stopping = tables.trials, tables.stopping
    best = tables.listed()["value"].iloc[0] if stopping.num_finished else math.nan
    rows = [
        ("trials finished", f"{stopping.num_finished:,} of {len(trials.table):,}"),
        ("stopped early", f"{stopping.num_stopped:,}"),
        (f"best {trials.metric}", trials.unit.value(best) or "unknown"),
    ]
    if not math.isnan(tables.noise.seed_sd):
        sd = trials.unit.gain(tables.noise.seed_sd).lstrip("+")
        rows.append(("spread between seeds", f"{sd} {trials.unit.name}".strip()))
    return tuple(rows)


def strategies_told(tables: Tables) -> list[str]:
    """Return what freezing and unfreezing did against neither, a sentence each."""
    unit, found = tables.trials.unit, []
    for row in tables.strategies.to_dict("records"):
        if math.isnan(row["ahead"]):
            continue
        gain = with_interval(row["ahead"], str(row["ahead_interval"]), unit.gain)
        time = with_interval(row["slower"], str(row["slower_interval"]), per_cent)
        what = "Freezing" if row["strategy"] == FREEZE else "Unfreezing"
        points = f" {unit.name}".rstrip()
        found.append(f"{what} against neither: {gain}{points}, time {time}.")
    return found


def answer(tables: Tables, role: str) -> str:
    """Return what the search says of a question, in a sentence."""
    found = tables.of(role)
    assert found is not None
    dimension, effects = found
    known = effects[effects["num_finished"] > 0].sort_values("difference", ascending=False)
    question = f"{_QUESTIONS[role]} ({dimension.name})"
    none = effects[(effects["num_finished"] == 0) & (effects["num_stopped"] > 0)]
    lost = "".join(
        f" None of the {row['num_stopped']} trials with {dimension.name} {row['level']} finished: "
        "they were stopped."
        for row in none.to_dict("records")
    )
    if len(known) < 2:
        return f"{question}: cannot be told, only one choice has finished trials.{lost}"
    first = known.iloc[0]
    against = (
        f"{dimension.name} {first['level']} is ahead of the others by {shown_gain(tables, first)}"
    )
    if not first["difference_interval"]:
        few = f"fewer than {FEWEST} trials on a side"
        return f"{question}: cannot be told ({against}; {few}).{lost}"
    told = against if first["told"] else f"cannot be told; {against}"
    return f"{question}: {told}.{lost}"


def shown_gain(tables: Tables, row: pd.Series) -> str:
    """Return a difference with its interval."""
    unit = tables.trials.unit
    text = f"{unit.gain(row['difference'])} {unit.name}".strip()
    if not row["difference_interval"]:
        return text
    ends = json.loads(row["difference_interval"])
    return f"{text} ({tables.trials.options.level:g}% interval {shown_range(ends, unit.gain)})"


def shown_contrast(tables: Tables, found: Contrast, *, share: bool = False) -> str:
    """Return a contrast with its interval, in points or as a share in per cent."""
    unit = tables.trials.unit
    text = per_cent if share else unit.gain
    name = "" if share else f" {unit.name}".rstrip()
    if not found.has_interval:
        return f"{text(found.difference)}{name}"
    ends = shown_range([found.low, found.high], text)
    return f"{text(found.difference)}{name} ({tables.trials.options.level:g}% interval {ends})"


def with_interval(value: float, ends: str, text: Callable[[float], str]) -> str:
    """Return a value with the interval that stands in a table, if there is one."""
    return f"{text(value)} ({shown_range(json.loads(ends), text)})" if ends else text(value)


def per_cent(share: float) -> str:
    """Return a share as `+12%`."""
    return f"{round(100 * share):+d}%"


def status_told(tables: Tables) -> str:
    """Return how many trials there are, and the best of them."""
    trials, stopping = tables.trials, tables.stopping
    text = f"{stopping.num_finished:,} of {len(trials.table):,} trials finished"
    if stopping.num_stopped:
        text += f" and {stopping.num_stopped:,} were stopped early"
    if not stopping.num_finished:
        return f"{text}: nothing can be compared."
    best = tables.listed().iloc[0]
    value = f"{trials.unit.value(best['value'])} {trials.unit.name}".strip()
    return f"{text}; the best is {best['trial']} with {trials.metric} {value}."


def claims_told(tables: Tables) -> list[str]:
    """Return the verdicts on the source's claims, in a sentence."""
    told = tables.claims[tables.claims["verdict"].isin([CONFIRMED, REFUTED])]
    rest = len(tables.claims) - len(told)
    found = [f"{row['claim']}: {row['verdict']}" for row in told.to_dict("records")]
    known = f"Of the source's claims: {'; '.join(found)}; " if found else "Of the source's claims, "
    return (
        [f"{known}{rest} of {len(tables.claims)} cannot be told from this search."]
        if rest
        else [f"{known.rstrip('; ')}."]
    )


def importance_told(tables: Tables) -> list[str]:
    """Return the dimension that matters most, in a sentence; none where that is not known."""
    found = tables.importance
    if not found.is_told:
        return []
    first = found.table.iloc[0]
    known, lost = 100 * found.explained, 100 * first["importance"]
    return [
        f"{first['dimension']} matters most: a forest that foresees {known:.0f}% of the "
        f"differences of trials it has not seen loses {lost:.0f}% without it."
    ]


def caution(tables: Tables) -> str:
    """Return what early stopping does to the figures, in a sentence; empty where nothing."""
    stopping, unit = tables.stopping, tables.trials.unit
    if not stopping.num_stopped:
        return ""
    text = "Means are over finished trials only: those that were stopped "
    if math.isnan(stopping.behind):
        return f"{text}have no finished trial to compare with, so whom that favours is not known."
    if not stopping.behind:
        return f"{text}were as good as the finished ones at the same epoch."
    gap = f"{unit.gain(abs(stopping.behind)).lstrip('+')} {unit.name}".strip()
    side, effect = (
        ("behind", "a poor choice looks better")
        if stopping.behind > 0
        else ("ahead of", "a choice that was stopped often may look worse")
    )
    return (
        f"{text}were {gap} {side} the finished ones at the same epoch, so {effect} here than it is."
    )


def next_step(tables: Tables) -> str:
    """Return what to do after the search."""
    stopping = tables.stopping
    if stopping.num_finished < _ENOUGH:
        return (
            f"{stopping.num_finished} finished trials are too few to compare choices: search again "
            "with more --trials or with --scheduler none; with the same --store nothing is trained "
            "twice."
        )
    told = tables.effects[tables.effects["told"] & (tables.effects["difference"] > 0)]
    best = told.sort_values("difference", ascending=False).drop_duplicates("dimension")
    kept = ", ".join(f"{row['dimension']} {row['level']}" for row in best.to_dict("records"))
    narrow = f"narrow the search to {kept} (--set pins a dimension), and " if kept else ""
    if math.isnan(tables.noise.seed_sd):
        return (
            f"{narrow}confirm the best trials with new seeds (`thaw confirm RESULTS`), then give "
            "both folders to this report: one seed cannot tell a small gain from luck."
        )
    sd = tables.trials.unit.gain(tables.noise.resolution).lstrip("+")
    unit = tables.trials.unit.name
    return (
        f"{narrow}take the best confirmed schedule; two single trials that differ by less than "
        f"{f'{sd} {unit}'.strip()} differ by chance."
    )
