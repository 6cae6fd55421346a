"""The sections of the report below its summary, each made from the tables."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
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
from analysis.steps import shown_step
from analysis.transfer.charts import effect_chart, importance_chart, moment_charts
from analysis.transfer.claims import NOT_SUPPORTED, SUPPORTED, TIME, UNKNOWN
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
from analysis.transfer.summary import answer, caution, shown_contrast
from analysis.transfer.tables import Tables

_VERDICTS = {SUPPORTED: "good", NOT_SUPPORTED: "bad", UNKNOWN: "weak"}
_ASKED = {
    MOMENT: "when to unfreeze",
    PARTIAL: "partial before full",
    RULE: "a fixed epoch or a rule",
    BATCHNORM: "BatchNorm of frozen groups",
    MODE: "freezing against unfreezing",
    RESIZE: "resizing",
    EMA: "averaged weights",
}


def question_sections(tables: Tables) -> list[Section]:
    """A section for each question that the search asked."""
    sections = []
    if tables.of(MOMENT) is not None:
        sections.append(_moment(tables))
    titles = {PARTIAL: "Partial before full", RULE: "Epoch or rule", BATCHNORM: "BatchNorm"}
    for role, title in titles.items():
        if (found := tables.of(role)) is not None:
            dimension, effects = found
            chart = effect_chart(tables, effects, role, dimension.name)
            blocks: tuple[Block, ...] = (
                Text(answer(tables, role)),
                *chart,
                _effects(tables, f"by_{role}", effects),
            )
            sections.append(Section(title, blocks))
    return sections


def _moment(tables: Tables) -> Section:
    found = tables.of(MOMENT)
    assert found is not None
    blocks: list[Block] = [Text(answer(tables, MOMENT)), *moment_charts(tables)]
    blocks.append(_effects(tables, "by_moment", found[1]))
    if tables.moment is not None:
        blocks.append(
            Text(
                "Trials of one length that unfreeze early also train everything for longer: the "
                "moment and the number of epochs after it are not told apart here."
            )
        )
        blocks.append(Text(_settled(tables)))
    return Section("When to unfreeze", tuple(blocks))


def _settled(tables: Tables) -> str:
    """Say when the heads had settled, and what waiting longer went with."""
    moment, options = tables.moment, tables.trials.options
    assert moment is not None
    unit = tables.trials.unit.name or "of the metric"
    least = f"{options.settled:g} {'point' if (options.settled, unit) == (1, 'points') else unit}"
    rule = f"the metric changed by less than {least} from one epoch to the next"
    if not moment.num_settled:
        return (
            f"In none of the {moment.num_told:,} trials whose head trained for two epochs or more "
            f"had it settled before the unfreezing ({rule}): a rule of that kind would have waited "
            "longer."
        )
    span = f"between {shown_step(moment.first)} and {shown_step(moment.last)}"
    text = (
        f"The head had settled ({rule}) in {moment.num_settled:,} of {moment.num_told:,} trials "
        f"that trained it for two epochs or more: after {shown_step(moment.settled)} epochs in the "
        f"median, {span}. "
    )
    early = moment.early
    if not (early.num_with and early.num_without):
        return text + "All finished trials lie on one side of it: waiting cannot be judged."
    text += (
        f"Finished trials that unfroze by then ({early.num_with:,}) against those that waited "
        f"longer ({early.num_without:,}): {shown_contrast(tables, early)}"
    )
    if not early.is_told:
        return f"{text}; it cannot be told whether waiting pays."
    better = "waiting longer costs" if early.difference > 0 else "waiting longer pays"
    return f"{text}: {better}."


def claims_section(tables: Tables) -> Section:
    """Freezing against unfreezing: the source's claims beside what was measured."""
    unit = tables.trials.unit
    level = f"{tables.trials.options.level:g}% interval"

    def measured(row: Mapping[Hashable, object]) -> tuple[Cell, Cell]:
        value, text = float(str(row["measured"])), str(row["interval"])

        def show(number: float) -> str:
            return f"{100 * number:+.0f}%" if row["measure"] == TIME else unit.gain(number)

        if math.isnan(value):
            return Cell("", ""), Cell("", "")
        ends = json.loads(text) if text else None
        span = Cell(shown_range(ends, show), ends[0]) if ends else Cell("", "")
        return Cell(show(value), value), span

    columns = {
        "claim": words("the source says"),
        "verdict": words("verdict", _VERDICTS),
        "num_with": counts("trials"),
        "num_without": counts("against"),
        "remark": words("remark"),
    }
    table = grid("claims", tables.claims, columns, _most(tables))
    rows = []
    for row, plain in zip(table.rows, tables.claims.to_dict("records"), strict=True):
        value, span = measured(plain)
        rows.append((row[0], value, span, *row[1:]))
    headings = (table.headings[0], "measured", level, *table.headings[1:])
    numeric = (table.numeric[0], True, True, *table.numeric[1:])
    checked = replace(table, headings=headings, rows=tuple(rows), numeric=numeric)
    text = (
        "Expectations from the source, checked on finished trials. Supported: the measured figure "
        "lies in the claimed range, and its interval excludes no difference at all. Not supported: "
        "the interval has nothing in common with the range. Time is device-seconds of a trial's "
        "segments, whoever trained them."
    )
    return Section("Freezing against unfreezing", (Text(text), checked, *_within(tables)))


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
        items.append(
            f"From the last epoch of the head alone to its best value a finished trial gained "
            f"{gain}, in {tables.gain_since_head.num_with:,} trials: unfreezing together with "
            "longer training, since no trial went on with the head alone."
        )
    return [Items(tuple(items))] if items else []


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
        blocks.append(grid("importance", found.table, columns, _most(tables)))
    text = (
        "Each choice against all others, over finished trials. The sampler tries good regions more "
        "often, so choices of two dimensions go together: a difference is not all due to its own "
        "dimension. Several choices are compared at once: one in twenty differs by chance."
    )
    columns = {"dimension": words("dimension"), **_effect_columns(tables)}
    blocks += [Text(text), grid("effects", tables.effects, columns, _most(tables))]
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
        blocks.append(grid("seeds", noise.seeds, columns, _most(tables)))
    return Section("Early stopping and noise", tuple(blocks))


def details_section(tables: Tables) -> Section:
    """The trials, how it was computed, what was left out."""
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
        f"{_ASKED[role]} ({', '.join(names)})"
        for role, names in ROLES.items()
        if tables.of(role) is None
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
        grid("trials", tables.listed(), columns, _most(tables)),
        Items(tuple(facts)),
    ]
    if tables.notes:
        blocks += [Text("What the logs were found to be:"), Items(tables.notes[: _most(tables)])]
    if len(tables.unused):
        shown_unused = {"file": words("file"), "reason": words("reason")}
        blocks.append(Text(f"Not used: {len(tables.unused):,} files."))
        blocks.append(grid("unused", tables.unused, shown_unused, _most(tables)))
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
        "told": Shown("beyond chance", _yes_no, numeric=False),
        "seconds": numbers("mean device-seconds", lambda value: f"{value:,.1f}"),
    }


def _effects(tables: Tables, name: str, effects: pd.DataFrame) -> Grid:
    """Return the rows of one dimension; all of them are in `effects.csv`."""
    table = grid(name, effects, _effect_columns(tables), _most(tables))
    return replace(table, file="effects")


def _yes_no(value: object) -> Cell:
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


def _most(tables: Tables) -> int:
    return tables.trials.options.max_rows
