"""The learning-rate range test as a document: the curve, and what it suggests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pandas as pd

from analysis.document import Cell, Chart, Document, Grid, Section, Text
from analysis.plots import range_test

RULES = {
    "valley": "the middle of the longest stretch in which the smoothed loss falls",
    "steepest": "where the smoothed loss falls steepest over log LR",
}
_NOTHING = "nothing, as the steps are too few or the loss never falls"
_SOURCE = (
    "L. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186; growth, "
    "smoothing, the end at 4 times the least loss, and both suggestions as in fastai 2, "
    "callback/schedule.py. The first tenth of the steps and the last 5 are not looked at."
)


def range_test_document(
    steps: pd.DataFrame,  # lr, loss, smoothed
    suggestions: Mapping[str, float | None],
    *,
    trained: str,
    exploded: bool,
    made: date,
) -> Document:
    """Return the document of a range test; `trained` says which layer groups trained."""
    found = {name: lr for name, lr in suggestions.items() if lr is not None}
    suggested = pd.DataFrame(
        [{"suggestion": name, "lr": lr, "smoothed": _at(steps, lr)} for name, lr in found.items()],
        columns=["suggestion", "lr", "smoothed"],
    )
    ended = f"the loss exploded at LR {steps['lr'].iloc[-1]:.2g}" if exploded else "no explosion"
    told = " and ".join(f"{lr:.2g} ({name})" for name, lr in found.items())
    rows = tuple(
        (Cell(name, name), _lr_cell(lr), Cell(RULES[name], RULES[name]))
        for name, lr in suggestions.items()
    )
    note = f"Trained: {trained}. Thick: smoothed."
    return Document(
        name="lr-find",
        title="Learning-rate range test",
        made=made,
        headline=(*((name, f"{lr:.2g}") for name, lr in found.items()), ("steps", str(len(steps)))),
        summary=f"Suggested for {trained}: {told or _NOTHING}; {ended}.",
        sections=(
            Section(
                "Loss over learning rate",
                (Chart("range_test", range_test(steps, suggested), note),),
            ),
            Section(
                "Suggestions",
                (
                    Grid(
                        "suggestions",
                        ("suggestion", "LR", "rule"),
                        rows,
                        len(rows),
                        (False, True, False),
                    ),
                    Text(_SOURCE),
                ),
            ),
        ),
        tables={"steps": steps, "suggestions": suggested},
        facts={"suggestions": dict(suggestions), "trained": trained, "exploded": exploded},
    )


def _at(steps: pd.DataFrame, lr: float) -> float:
    return float(steps.loc[steps["lr"] == lr, "smoothed"].iloc[0])


def _lr_cell(lr: float | None) -> Cell:
    return Cell("-" if lr is None else f"{lr:.3g}", -1.0 if lr is None else lr)
