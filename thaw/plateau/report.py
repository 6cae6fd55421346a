"""The report on a plateau as a document: words, grids and a chart, from the tables."""

from __future__ import annotations

from datetime import date

import pandas as pd

from analysis.document import Block, Chart, Document, Section, Text
from analysis.logs import Logs
from analysis.plots import lines
from analysis.shown import Shown, counts, grid, numbers, words
from thaw.plateau.options import Options
from thaw.plateau.tables import Tables, compute

_MARKS = {"enough": "good", "on target": "good", "explosion": "bad", "stuck": "bad"}
_FEW = 5


def report(logs: Logs, options: Options, made: date) -> Document:
    """Return the report; raise `LogError` where logs or options do not allow one."""
    tables = compute(logs, options)
    stuck, best = tables.stuck, tables.options.iloc[0]
    return Document(
        name="plateau",
        title=f"Off the plateau: {options.metric}",
        made=made,
        headline=(
            ("stuck since step", str(stuck.since)),
            ("level there", f"{best['level'] - best['gain']:.4f}"),
            ("best gain", _gain(best)),
            ("runs", str(len(tables.options))),
        ),
        summary=" ".join((_stuck(tables, options), _next(tables))),
        sections=(
            Section("Gain over the resume point", _gains(tables, options)),
            Section("What the monitor says", _said(tables, options)),
        ),
        tables={
            "options": tables.options,
            "verdicts": tables.verdicts,
            "unused": pd.DataFrame([vars(f) for f in logs.unused], columns=["file", "reason"]),
        },
        facts={
            "resume_step": stuck.resume,
            "stuck_since": stuck.since,
            "gain_while_stuck": stuck.gain,
            "next": str(_cheapest(tables)["run"]) if best["real"] else None,
            "best_gain": float(best["gain"]),
            "best_gain_error": float(best["error"]),
        },
    )


def _stuck(tables: Tables, options: Options) -> str:
    stuck = tables.stuck
    length = stuck.steps.index(stuck.resume) - stuck.steps.index(stuck.since)
    return (
        f"The run was stuck from step {stuck.since} to {stuck.resume}: {options.metric} gained "
        f"{stuck.gain:+.4f} in {length} evaluations."
    )


def _next(tables: Tables) -> str:
    """Say which option to take: the shortest of those that noise cannot tell from the best."""
    best = tables.options.iloc[0]
    if not best["real"]:
        return (
            f"No run gained more than noise (best {_gain(best)}): take the next option of the "
            "ladder: LR up to 4e-4, floor x 5, larger images."
        )
    chosen = _cheapest(tables)
    others = tables.options[tables.options["as_good"] & (tables.options["run"] != chosen["run"])]
    names = ", ".join(others["run"].head(_FEW))
    more = f" and {len(others) - _FEW} more" if len(others) > _FEW else ""
    rivals = f" As good within noise, but no shorter: {names}{more}." if len(others) else ""
    return (
        f"Take {chosen['run']}: {_gain(chosen)} in {chosen['epochs']} evaluations.{rivals} "
        "The errors are those of one run's epochs; thaw confirm measures them over seeds."
    )


def _cheapest(tables: Tables) -> pd.Series:
    good = tables.options[tables.options["as_good"] & tables.options["real"]]
    return good.sort_values(["epochs", "gain"], ascending=[True, False]).iloc[0]


def _gains(tables: Tables, options: Options) -> tuple[Block, ...]:
    fixed = {"run", "epochs", "level", "gain", "error", "real", "reached", "as_good", "verdict"}
    shown: dict[str, Shown] = {
        "run": words("run"),
        "epochs": counts("evaluations"),
        "level": numbers("level", "{:.4f}".format),
        "gain": numbers("gain", "{:+.4f}".format),
        "error": numbers("± error", "{:.4f}".format),
        "reached": counts(f"reached {options.target:g} at"),
        "verdict": words("last verdict", _MARKS),
        **{name: words(name) for name in map(str, tables.options.columns) if name not in fixed},
    }
    text = (
        "The level is the second best of the last five evaluations. A gain is that of the level "
        "over the one at the resume point; a gain below two errors may be noise."
    )
    figure = lines(
        tables.drawn,
        pd.DataFrame({"step": [], "value": []}),
        [tables.stuck.since, tables.stuck.resume],
        metric=options.metric,
        scale=1.0,
        unit="",
        solid="run",
    )
    chart = Chart("curves", figure, "Vertical lines: where the run was stuck, from and to.")
    return (Text(text), chart, grid("options", tables.options, shown, options.max_rows))


def _said(tables: Tables, options: Options) -> tuple[Block, ...]:
    if tables.verdicts.empty:
        return (Text("Nothing: no rule held."),)
    shown = {
        "run": words("run"),
        "step": counts("step"),
        "verdict": words("verdict", _MARKS),
        "because": words("because"),
        "advice": words("advice"),
    }
    return (grid("verdicts", tables.verdicts, shown, options.max_rows),)


def _gain(row: pd.Series) -> str:
    return f"{row['gain']:+.4f} ± {row['error']:.4f}"
