"""The sections that reports on transfer learning have in common, each made from the tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.document import Block, Cell, Grid, Items, Section, Text
from analysis.shown import (
    Shown,
    counts,
    gain_range,
    grid,
    numbers,
    shown_range,
    steps,
    words,
)
from analysis.transfer.charts import effect_chart, importance_chart
from analysis.transfer.contrast import FEWEST
from analysis.transfer.dimensions import (
    BATCHNORM,
    EMA,
    MODE,
    MOMENT,
    PARTIAL,
    RESIZE,
    ROLES,
    RULE,
    shown,
)
from analysis.transfer.summary import answer, caution
from analysis.transfer.tables import Tables

_ASKED = {
    MOMENT: "when to unfreeze",
    PARTIAL: "partial before full",
    RULE: "a fixed epoch or a rule",
    BATCHNORM: "BatchNorm of frozen groups",
    MODE: "freezing against unfreezing",
    RESIZE: "resizing",
    EMA: "averaged weights",
}


def question_sections(tables: Tables, titles: Mapping[str, str]) -> list[Section]:
    """Return a section for each role in `titles` that the search asked for."""
    sections = []
    for role, title in titles.items():
        if (found := tables.of(role)) is not None:
            dimension, effects = found
            blocks: tuple[Block, ...] = (
                Text(answer(tables, role)),
                *effect_chart(tables, effects, role, dimension.name),
                _effects(tables, f"by_{role}", effects),
            )
            sections.append(Section(title, blocks))
    return sections


def dimensions_section(tables: Tables) -> Section:
    """What matters at all, and what each choice went with."""
    found = tables.importance
    blocks: list[Block] = [Text(_about_importance(tables)), *importance_chart(tables)]
    if found.is_told:
        columns = {
            "dimension": words("dimension"),
            "importance": numbers("importance", lambda value: f"{100 * value:.0f}%"),
            "interval": _shares("middle 90 % of splits"),
        }
        blocks.append(grid("importance", found.table, columns, most(tables)))
    text = (
        "Each choice against all others, over finished trials. The sampler tries good regions more "
        "often, so choices of two dimensions go together: a difference is not all due to its own "
        "dimension. Several choices are compared at once: one in twenty differs by chance."
    )
    columns = {"dimension": words("dimension"), **_effect_columns(tables)}
    blocks += [Text(text), grid("effects", tables.effects, columns, most(tables))]
    return Section("What matters", tuple(blocks))


def _about_importance(tables: Tables) -> str:
    found = tables.importance
    if math.isnan(found.explained):
        return (
            f"Importance cannot be told from {found.num_trials:,} finished trials: a forest needs "
            "10 or more that differ."
        )
    if not found.is_told:
        return (
            f"Importance cannot be told: a forest over {found.num_trials:,} finished trials "
            "foresees trials it has not seen no better than their mean does."
        )
    return (
        f"A random forest over {found.num_trials:,} finished trials foresees "
        f"{100 * found.explained:.0f}% of the differences of trials it has not seen. The "
        "importance of a dimension is what it loses of these when that dimension is shuffled."
    )


def stopping_section(tables: Tables) -> Section:
    """Early stopping and chance."""
    stopping, noise, unit = tables.stopping, tables.noise, tables.trials.unit
    items = [
        f"{stopping.num_finished:,} trials finished, {stopping.num_stopped:,} were stopped early, "
        f"{stopping.num_others:,} ended otherwise."
    ]
    if stopping.num_stopped:
        items.append(
            f"{caution(tables)} A stopped trial is not a finished one with a low value: what it "
            "would have reached is not known. Trials are stopped at epochs where their choices for "
            "later have not shown yet."
        )
    if math.isnan(noise.seed_sd):
        items.append(
            "How much seeds differ is not known: no confirmation among these logs. `thaw confirm "
            "RESULTS` trains the best schedules again; give both folders to this report."
        )
    else:
        sd = f"{unit.gain(noise.seed_sd).lstrip('+')} {unit.name}".strip()
        least = f"{unit.gain(noise.resolution).lstrip('+')} {unit.name}".strip()
        items.append(
            f"Seeds of one schedule differ by {sd} (standard deviation, over "
            f"{len(noise.seeds):,} schedules): two single trials are apart beyond chance only from "
            f"{least} on."
        )
    if not math.isnan(noise.curve_sd):
        sd = f"{unit.gain(noise.curve_sd).lstrip('+')} {unit.name}".strip()
        items.append(
            f"From epoch to epoch a trial varies by {sd} about its own trend; the best of many "
            "evaluations is biased upward by about that much."
        )
    blocks: list[Block] = [Items(tuple(items))]
    if len(noise.seeds):
        columns = {
            "origin": words("schedule"),
            "num_seeds": counts("seeds"),
            "mean": numbers("mean", unit.value),
            "sd": numbers("sd", lambda value: unit.gain(value).lstrip("+")),
        }
        blocks.append(grid("seeds", noise.seeds, columns, most(tables)))
    return Section("Early stopping and noise", tuple(blocks))


def details_section(tables: Tables, roles: Sequence[str]) -> Section:
    """The trials, how it was computed, and which of the report's `roles` were not asked for."""
    trials, unit, options = tables.trials, tables.trials.unit, tables.trials.options
    columns = {
        "trial": words("trial"),
        "value": numbers(f"{options.value} {trials.metric}", unit.value),
        "best_epoch": steps("best at epoch"),
        "last_epoch": steps("ends at epoch"),
        "status": words("status", {"stopped": "weak", "failed": "bad", "diverged": "bad"}),
        "seconds": numbers("device-seconds", lambda value: f"{value:,.1f}"),
        **{
            dimension.name: Shown(dimension.name, _value_cell, dimension.is_number)
            for dimension in trials.dimensions
        },
    }
    missing = [
        f"{_ASKED[role]} ({', '.join(ROLES[role])})" for role in roles if tables.of(role) is None
    ]
    facts = [
        f"Metric {trials.metric}, {trials.mode}; of a trial counts its {options.value} value.",
        f"Intervals: {options.level:g}%, {options.draws:,} bootstrap draws over configurations, "
        f"expanded for small numbers, seed {options.seed}; none below {FEWEST} configurations on a "
        "side.",
    ]
    if missing:
        facts.append(f"Left out, since the study has no such dimension: {'; '.join(missing)}.")
    if trials.pinned:
        pinned = ", ".join(f"{name} {value}" for name, value in trials.pinned.items())
        facts.append(f"The same in all trials: {pinned}.")
    blocks: list[Block] = [
        grid("trials", tables.listed(), columns, most(tables)),
        Items(tuple(facts)),
    ]
    if tables.notes:
        blocks += [Text("What the logs were found to be:"), Items(tables.notes[: most(tables)])]
    if len(tables.unused):
        shown_unused = {"file": words("file"), "reason": words("reason")}
        blocks.append(Text(f"Not used: {len(tables.unused):,} files."))
        blocks.append(grid("unused", tables.unused, shown_unused, most(tables)))
    return Section("Trials and technical details", tuple(blocks))


def _effect_columns(tables: Tables) -> dict[str, Shown]:
    trials = tables.trials
    unit = trials.unit
    level = f"{trials.options.level:g}% interval"
    return {
        "level": words("choice"),
        "num_finished": counts("finished"),
        "num_stopped": counts("stopped"),
        "mean": numbers(f"mean {trials.options.value}", unit.value),
        "difference": numbers("ahead of the others by", unit.gain),
        "difference_interval": gain_range(level, unit),
        "told": Shown("beyond chance", yes_no, numeric=False),
        "seconds": numbers("mean device-seconds", lambda value: f"{value:,.1f}"),
    }


def _effects(tables: Tables, name: str, effects: pd.DataFrame) -> Grid:
    """Return the rows of one dimension; all of them are in `effects.csv`."""
    table = grid(name, effects, _effect_columns(tables), most(tables))
    return replace(table, file="effects")


def yes_no(value: object) -> Cell:
    """Show a flag."""
    return Cell("yes", "yes", "good") if value else Cell("no", "no", "weak")


def _value_cell(value: object) -> Cell:
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return Cell("", "")
    key = float(value) if isinstance(value, float | int) else str(value).lower()
    return Cell(shown(value), key)


def _shares(heading: str) -> Shown:
    def show(value: str) -> Cell:
        ends = json.loads(value)
        return Cell(shown_range(ends, lambda end: f"{100 * end:.0f}%"), float(ends[0]))

    return Shown(heading, show)


def most(tables: Tables) -> int:
    """Return how many rows of a table are shown."""
    return tables.trials.options.max_rows
