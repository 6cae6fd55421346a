"""The sections on strategies: side by side, and the claims of the source beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace

from analysis.document import Block, Cell, Items, Section, Text
from analysis.shown import Shown, counts, gain_range, grid, numbers, shown_range, words
from analysis.transfer.charts import strategy_charts
from analysis.transfer.claims import CONFIRMED, REFUTED, TIME, UNKNOWN
from analysis.transfer.sections import most
from analysis.transfer.strategies import FREEZE, NONE, UNFREEZE
from analysis.transfer.summary import shown_contrast
from analysis.transfer.tables import Tables

_VERDICTS = {CONFIRMED: "good", REFUTED: "bad", UNKNOWN: "weak"}
_NAMES = {FREEZE: "freezing", UNFREEZE: "unfreezing", NONE: "neither"}
_GIB = 2**30


def strategies_section(tables: Tables) -> Section:
    """Freezing, unfreezing and neither: what each took, and what it reached."""
    found = tables.strategies
    if found.empty:
        text = (
            "These logs do not compare strategies: no dimension mode (as `thaw search progressive` "
            "has), and not three seeds of the recipes progressive_freeze and progressive_unfreeze "
            "(as `thaw confirm RESULTS --recipes all` trains them)."
        )
        return Section("Side by side", (Text(text),))
    unit, level = tables.trials.unit, f"{tables.trials.options.level:g}% interval"
    columns: dict[str, Shown] = {
        "strategy": Shown("strategy", _named, numeric=False),
        "num_runs": counts("finished runs"),
        "num_stopped": counts("stopped"),
        "mean": numbers(f"mean {tables.trials.options.value}", unit.value),
        "interval": _ranged(level, unit.value),
        "ahead": numbers("ahead of neither by", unit.gain),
        "ahead_interval": gain_range(level, unit),
        "seconds": numbers("device-seconds", _seconds),
        "seconds_interval": _ranged(level, _seconds),
        "slower": numbers("time against neither", _share),
        "slower_interval": _ranged(level, _share),
        "memory": Shown("peak memory (GiB)", _memory),
    }
    runs = (
        "Recipes over new seeds; intervals are over seeds."
        if tables.of_seeds
        else "Finished trials of the search, which differ in other choices too; intervals are over "
        "configurations."
    )
    text = (
        f"{runs} Seconds are those of the data that the search is for, without pretraining. "
        f"{_about_memory(tables)}"
    )
    table = grid("strategies", found, columns, most(tables))
    return Section("Side by side", (Text(text), table, *strategy_charts(tables)))


def _about_memory(tables: Tables) -> str:
    if tables.strategies["memory"].isna().all():
        return (
            "Peak memory was not measured: torch tells it of CUDA devices, not of the CPU; "
            "`python -m benchmarks.frozen_parts` measures what freezing saves there."
        )
    return "Peak memory is the most that torch held on one device in any epoch, the mean over runs."


def _memory(value: float) -> Cell:
    if math.isnan(value):
        return Cell("not measured", -1.0, "weak")
    return Cell(f"{value / _GIB:.2f}", value)


def _named(value: str) -> Cell:
    return Cell(_NAMES[value], _NAMES[value])


def _seconds(value: float) -> str:
    return f"{value:,.1f}"


def _share(value: float) -> str:
    return f"{100 * value:+.0f}%"


def _ranged(heading: str, text: Callable[[float], str]) -> Shown:
    def show(value: str) -> Cell:
        if not value:
            return Cell("", "")
        ends = json.loads(value)
        return Cell(shown_range(ends, text), float(ends[0]))

    return Shown(heading, show)


def claims_section(tables: Tables) -> Section:
    """The source's claims beside what was measured, each with a verdict."""
    unit = tables.trials.unit
    level = f"{tables.trials.options.level:g}% interval"

    def measured(row: Mapping[Hashable, object]) -> tuple[Cell, Cell]:
        value, text = float(str(row["measured"])), str(row["interval"])

        def show(number: float) -> str:
            return _share(number) if row["measure"] == TIME else unit.gain(number)

        if math.isnan(value):
            return Cell("", ""), Cell("", "")
        ends = json.loads(text) if text else None
        span = Cell(shown_range(ends, show), ends[0]) if ends else Cell("", "")
        return Cell(show(value), value), span

    columns = {
        "claim": words("the source says"),
        "verdict": words("verdict", _VERDICTS),
        "num_with": counts("runs"),
        "num_without": counts("against"),
        "remark": words("remark"),
    }
    table = grid("claims", tables.claims, columns, most(tables))
    rows = []
    for row, plain in zip(table.rows, tables.claims.to_dict("records"), strict=True):
        value, span = measured(plain)
        rows.append((row[0], value, span, *row[1:]))
    headings = (table.headings[0], "measured", level, *table.headings[1:])
    numeric = (table.numeric[0], True, True, *table.numeric[1:])
    checked = replace(table, headings=headings, rows=tuple(rows), numeric=numeric)
    text = (
        "Expectations from the source, checked on finished runs. Confirmed: the measured figure "
        "lies in the claimed range, and its interval excludes no difference at all. Refuted: the "
        "interval has nothing in common with the range. Time is device-seconds of a run's "
        "segments, whoever trained them."
    )
    return Section("What the source claims", (Text(text), checked, *_within(tables)))


def _within(tables: Tables) -> list[Block]:
    """Say what trials show that are compared with themselves."""
    items = []
    if tables.epoch_cost.num_with:
        cost = shown_contrast(tables, tables.epoch_cost, share=True)
        items.append(
            f"The time of an epoch after the unfreezing against one of the head alone: {cost}, in "
            f"{tables.epoch_cost.num_with:,} trials, each compared with itself."
        )
    if tables.gain_since_head.num_with:
        gain = shown_contrast(tables, tables.gain_since_head)
        end = "its best value" if tables.trials.options.value == "best" else "its end"
        items.append(
            f"From the last epoch of the head alone to {end} a finished trial gained {gain}, in "
            f"{tables.gain_since_head.num_with:,} trials: unfreezing together with "
            "longer training, since no trial went on with the head alone."
        )
    return [Items(tuple(items))] if items else []
