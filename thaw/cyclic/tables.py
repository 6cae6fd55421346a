"""The tables of the report on cyclic training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from thaw.cyclic.claims import claims_table
from thaw.cyclic.costs import costs_table, measured_table, num_cycles
from thaw.cyclic.gains import accuracy, cycles_table, gains_table, untouched
from thaw.cyclic.options import Options
from thaw.cyclic.reading import FIRST, Span, Trial

_HOUR_S = 3600.0
_METRICS = ("accuracy", "tar", "auc", "identity", "psnr", "ssim")


@dataclass(frozen=True)
class Tables:
    """What the report is made from; accuracies and gains are fractions."""

    trials: tuple[Trial, ...]
    costs: pd.DataFrame
    measured: pd.DataFrame
    gains: pd.DataFrame
    cycles: pd.DataFrame
    levels: pd.DataFrame
    """resolution, state, num_states, and the mean of each metric; best is the highest accuracy."""
    pareto: pd.DataFrame
    """trial, resolution, strategy, cycles, accuracy, hours, on_front, and the dimensions."""
    claims: pd.DataFrame

    def files(self) -> dict[str, pd.DataFrame]:
        """Return the tables by the names of their files."""
        return {name: table for name, table in vars(self).items() if name != "trials"}


def compute(trials: Sequence[Trial], options: Options) -> Tables:
    """Return all tables."""
    return Tables(
        trials=tuple(trials),
        costs=costs_table(trials),
        measured=measured_table(trials),
        gains=gains_table(trials, options),
        cycles=cycles_table(trials, options),
        levels=_levels(trials),
        pareto=_pareto(trials),
        claims=claims_table(trials, options),
    )


def _levels(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return what was measured in each state of both models, over distinct states."""
    found: dict[tuple[int, int, str], dict[str, dict[str, float]]] = {}
    for trial in trials:
        for order, (state, span, bicubic) in enumerate(_states(trial)):
            place = (trial.config.resolution, min(order, 3), state)
            found.setdefault(place, {})[span.end.key] = _values(span, bicubic=bicubic)
    rows = []
    for (px, _, state), states in sorted(found.items()):
        table = pd.DataFrame(states.values())
        means = {name: float(table[name].mean()) for name in _METRICS}
        best = float(table["accuracy"].max())
        named = {"resolution": px, "state": state, "num_states": len(table)}
        rows.append(named | means | {"best": best})
    return pd.DataFrame(rows)


def _states(trial: Trial) -> list[tuple[str, Span, bool]]:
    """Return (name, span, whether bicubic stands for DSR) of each state worth telling."""
    states: list[tuple[str, Span, bool]] = []
    plain = untouched(trial)
    if plain is not None:
        states.append(("bicubic, pretrained EdgeFace", plain, True))
        if plain.model == "dsr":
            states.append(("DSR, pretrained EdgeFace", plain, False))
    names = {FIRST: "DSR, fine-tuned EdgeFace (no cycle)"}
    return states + [(names.get(s.name, f"after {s.name}"), s, False) for s in trial.rounds]


def _values(span: Span, *, bicubic: bool) -> dict[str, float]:
    metrics, prefix = span.end.metrics, "val_bicubic_" if bicubic else "val_"
    return {name: metrics.get(f"{prefix}{name}", np.nan) for name in _METRICS}


def _pareto(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return the finished trials by what they cost; nothing cheaper is as good as the front."""
    rows = [
        {
            "trial": trial.name,
            "resolution": trial.config.resolution,
            "strategy": trial.strategy,
            "cycles": num_cycles(trial),
            "accuracy": accuracy(trial.stages[-1]),
            "hours": trial.device_s / _HOUR_S,
            **trial.values,
        }
        for trial in trials
        if trial.finished
    ]
    if not rows:
        return pd.DataFrame(columns=["trial", "resolution", "accuracy", "hours", "on_front"])
    order = ["resolution", "hours", "accuracy"]
    table = pd.DataFrame(rows).sort_values(order, ascending=[True, True, False], ignore_index=True)
    before = table.groupby("resolution")["accuracy"].transform(lambda a: a.cummax().shift())
    table.insert(6, "on_front", before.isna() | (table["accuracy"] > before))
    return table
