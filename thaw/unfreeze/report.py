"""The report on unfreezing as a document: words, grids and charts, from the tables."""

from __future__ import annotations

from datetime import date
from typing import Any

from analysis.diminishing.facts import records
from analysis.document import Block, Cell, Chart, Document, Section, Text
from analysis.logs import Logs
from analysis.plots import bars
from analysis.shown import Shown, counts, gain_range, grid, numbers, words
from analysis.transfer.charts import moment_chart, titled
from analysis.transfer.dimensions import BATCHNORM, MOMENT, PARTIAL, RULE
from analysis.transfer.report import common_facts
from analysis.transfer.sections import (
    details_section,
    dimensions_section,
    most,
    question_sections,
    stopping_section,
    yes_no,
)
from analysis.transfer.summary import (
    answer,
    caution,
    headline,
    importance_told,
    next_step,
    status_told,
)
from thaw.unfreeze.options import Options
from thaw.unfreeze.tables import Tables, compute
from thaw.unfreeze.words import (
    about_rules,
    recommended,
    rule_told,
    settled_told,
    spread_of_settled,
    timing_told,
)

_TITLES = {
    MOMENT: "By the epoch that was asked for",
    PARTIAL: "Partial before full",
    RULE: "Epoch or rule",
    BATCHNORM: "BatchNorm",
}
_SHOWN_RULES = 20
_NEVER = 1e9
"""Sorts behind all epochs."""


def report(logs: Logs, options: Options, made: date) -> Document:
    """Return the report on the search in `logs`; raise `LogError` where they hold none."""
    tables = compute(logs, options)
    search = tables.search
    answers = (answer(search, role) for role in _TITLES if search.of(role) is not None)
    sentences = (
        status_told(search),
        recommended(tables),
        settled_told(tables),
        timing_told(tables),
        rule_told(tables),
        *answers,
        *importance_told(search),
        caution(search),
        f"Next: {next_step(search)}",
    )
    return Document(
        name="unfreeze",
        title=f"When to unfreeze: {search.trials.metric}",
        made=made,
        headline=headline(search),
        summary=" ".join(filter(None, sentences)),
        sections=(
            _settled(tables),
            _earlier_or_later(tables),
            _rules(tables),
            *question_sections(search, _TITLES),
            dimensions_section(search),
            stopping_section(search),
            details_section(search, tuple(_TITLES)),
        ),
        tables=tables.files(),
        facts=common_facts(search) | _facts(tables),
    )


def _settled(tables: Tables) -> Section:
    columns: dict[str, Shown] = {
        "run": words("run"),
        "head_epochs": counts("epochs of the head"),
        **{signal.kind: _epoch(signal.kind) for signal in tables.heads.signals},
        "settled": _epoch("settled"),
        "trunk_settled": _epoch("settled in the longest alike"),
    }
    text = (
        f"{settled_told(tables)} The table has the first epoch at whose end each signal held. Runs "
        "whose heads began alike are one history: the last column says when the longest of them "
        "had settled."
    )
    table = tables.files()["heads"]
    return Section(
        "When the head had settled",
        (Text(text), grid("heads", table, columns, most(tables.search))),
    )


def _earlier_or_later(tables: Tables) -> Section:
    unit, level = tables.search.trials.unit, f"{tables.options.level:g}% interval"
    columns: dict[str, Shown] = {
        "timing": words("the head was unfrozen"),
        "num_runs": counts("finished runs"),
        "mean": numbers(f"mean {tables.options.value}", unit.value),
        "difference": numbers("against when it had settled", unit.gain),
        "difference_interval": gain_range(level, unit),
        "told": Shown("beyond chance", yes_no, numeric=False),
    }
    blocks: list[Block] = [
        Text(f"{timing_told(tables)} {_about(tables)}"),
        grid("timing", tables.timing, columns, most(tables.search)),
        Text(recommended(tables)),
        *_cost_chart(tables),
    ]
    if tables.moments is not None:
        shown: dict[str, Shown] = {
            "head_epochs": counts("epochs of the head"),
            "num_runs": counts("finished runs"),
            "mean": numbers(f"mean {tables.options.value}", unit.value),
            "cost": numbers("behind the best by", unit.gain),
            "interval": gain_range(level, unit),
            "told": Shown("beyond chance", yes_no, numeric=False),
        }
        blocks.append(grid("moments", tables.by_epoch, shown, most(tables.search)))
    return Section("Earlier or later", (*blocks, *moment_chart(tables.search)))


def _about(tables: Tables) -> str:
    if tables.sample.of_seeds:
        return (
            "Runs are the confirmed schedules over new seeds, intervals are over seeds. Where the "
            "schedules differ in more than the moment, so do their means. The best moment was "
            "chosen by these same means: small costs are rather too large."
        )
    return (
        "Runs are the finished trials of the search, intervals are over configurations; a mean by "
        "epoch takes in the trials one epoch off. They differ in other choices too, and those that "
        "unfreeze early train everything for longer: `thaw confirm` over schedules that differ in "
        "the moment alone tells more; give both folders to this report."
    )


def _cost_chart(tables: Tables) -> list[Chart]:
    if tables.moments is None:
        return []
    found, unit = tables.by_epoch, tables.search.trials.unit
    figure = bars(
        [str(epoch) for epoch in found["head_epochs"]],
        found["cost"].tolist(),
        found["interval"].tolist(),
        unit.gain,
        scale=unit.scale,
        title=titled("behind the best moment", unit),
        weak=[not told for told in found["told"]],
    )
    note = f"By epochs of the head alone, with {tables.options.level:g}% intervals; pale: may be 0."
    return [Chart("cost", figure, note)]


def _rules(tables: Tables) -> Section:
    unit, level = tables.search.trials.unit, f"{tables.options.level:g}% interval"
    text = rule_told(tables)
    if tables.rules.empty:
        return Section("The rule that would have found it", (Text(text),))
    columns: dict[str, Shown] = {
        "until": words("rule, for a stage"),
        "epoch": counts("holds after epoch (median)"),
        "num_fired": counts("held on heads"),
        "num_heads": counts("of"),
        "distance": numbers("epochs from the best", "{:.1f}".format),
        "cost": numbers("behind the best by", unit.gain),
        "interval": gain_range(level, unit),
    }
    table = grid("rules", tables.rules, columns, min(_SHOWN_RULES, most(tables.search)))
    return Section(
        "The rule that would have found it", (Text(text), Text(about_rules(tables)), table)
    )


def _facts(tables: Tables) -> dict[str, Any]:
    moments = tables.moments
    return {
        "settled_epoch": spread_of_settled(tables),
        "recommended_epoch": None if moments is None else int(moments.epochs[moments.best]),
        "of_seeds": tables.sample.of_seeds,
        "timing": records(tables.timing),
        "moments": records(tables.by_epoch),
        "rule": None if tables.rules.empty else str(tables.rules["until"].iloc[0]),
    }


def _epoch(heading: str) -> Shown:
    """Show an epoch; what has not happened is not yet."""

    def show(value: float) -> Cell:
        if value != value:
            return Cell("not yet", _NEVER, "weak")
        return Cell(f"{value:.0f}", value)

    return Shown(heading, show)
