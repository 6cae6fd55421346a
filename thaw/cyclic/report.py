"""The report on cyclic training as a document: its head, and the sections in their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

from analysis.document import Document
from thaw.cyclic import sections
from thaw.cyclic.claims import AGREES, CONFIRMED, REFUTED, UNKNOWN
from thaw.cyclic.gains import WHOLE
from thaw.cyclic.options import Options
from thaw.cyclic.reading import FIRST, Trial
from thaw.cyclic.tables import Tables, compute


def report(trials: Sequence[Trial], options: Options, made: date) -> Document:
    """Return the report on the trials of one or more searches."""
    tables = compute(trials, options)
    resolutions = sorted({trial.config.resolution for trial in trials})
    finished = sum(trial.finished for trial in trials)
    return Document(
        name="cyclic",
        title="Cyclic training of a super-resolver and a recogniser",
        made=made,
        headline=(
            ("trials finished", f"{finished} of {len(trials)}"),
            ("resolutions", ", ".join(f"{px} px" for px in resolutions)),
            ("best accuracy", f"{100 * tables.levels['best'].max():.1f} %"),
            ("cycles", str(len(tables.cycles))),
        ),
        summary=" ".join((*_gained(tables, options), _expected(tables))),
        sections=tuple(
            make(tables, options)
            for make in (
                sections.gains,
                sections.levels,
                sections.verdicts,
                sections.claims,
                sections.costs,
                sections.pareto,
                sections.pictures,
            )
        ),
        tables=tables.files(),
        facts={
            "verdicts": tables.claims.set_index("expectation")["verdict"].to_dict(),
            "gains": _records(tables),
        },
    )


_STEPS = {
    FIRST: "the first models against bicubic and pretrained EdgeFace",
    WHOLE: "in the end against bicubic and pretrained EdgeFace",
}


def _gained(tables: Tables, options: Options) -> list[str]:
    """Say of each step what it gained, and whether that is more than noise."""
    said = []
    for row in tables.gains.to_dict("records"):
        what = _STEPS.get(row["cycle"], row["cycle"])
        text = f"{row['resolution']} px, {what}: {100 * row['gain']:+.1f} points"
        low, high = (float(row[name]) for name in ("low", "high"))
        if not math.isnan(low):
            text += f" ({100 * low:+.1f} to {100 * high:+.1f} over people)"
        if not math.isnan(row["seed_low"]):
            ends = (f"{100 * row[name]:+.1f}" for name in ("seed_low", "seed_high"))
            text += f", {' to '.join(ends)} over seeds"
        said.append(f"{text}{'' if low > 0 or high < 0 else ', which may be noise'}.")
    return said


def _expected(tables: Tables) -> str:
    found = tables.claims["verdict"].value_counts()
    shown = {
        CONFIRMED: "confirmed",
        AGREES: "in agreement",
        REFUTED: "refuted",
        UNKNOWN: "not told",
    }
    told = (f"{found.get(name, 0)} {words}" for name, words in shown.items())
    return f"Of the source's expectations {', '.join(told)}."


def _records(tables: Tables) -> list[dict[str, object]]:
    """Return the table of gains for JSON, with null for what is not known."""
    plain = tables.gains.astype(object).where(tables.gains.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
