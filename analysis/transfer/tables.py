"""All tables of the reports, computed from the logs; text and plots are made from nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.logs import Logs
from analysis.transfer.claims import claims_table, epoch_cost, gain_since_head
from analysis.transfer.contrast import Contrast
from analysis.transfer.dimensions import Dimension, role_of
from analysis.transfer.effects import Importance, effects_table, importance_of
from analysis.transfer.options import Options
from analysis.transfer.stopping import Noise, Stopping, noise_of, stopping_of
from analysis.transfer.strategies import sample_of, strategies_table
from analysis.transfer.trials import Trials, trials_of


@dataclass(frozen=True)
class Tables:
    """What was computed, in the unit of the logs."""

    trials: Trials
    effects: pd.DataFrame
    importance: Importance
    claims: pd.DataFrame
    strategies: pd.DataFrame
    of_seeds: bool
    """Whether strategies were compared over new seeds, and not over trials of a search."""
    epoch_cost: Contrast
    gain_since_head: Contrast
    stopping: Stopping
    noise: Noise
    unused: pd.DataFrame
    notes: tuple[str, ...]

    def of(self, role: str) -> tuple[Dimension, pd.DataFrame] | None:
        """Return the dimension that a question is about, and its effects; None without one."""
        dimension = role_of(self.trials.dimensions, role)
        if dimension is None:
            return None
        return dimension, self.effects[self.effects["dimension"] == dimension.name]

    def files(self) -> dict[str, pd.DataFrame]:
        """Return the tables that every report writes as CSV, by the names of their files."""
        return {
            "trials": self.listed(),
            "effects": self.effects,
            "importance": self.importance.table,
            "seeds": self.noise.seeds,
            "unused": self.unused,
        }

    def listed(self) -> pd.DataFrame:
        """Return the trials with their dimensions: finished ones first, of these the best first."""
        trials = self.trials
        values = {dimension.name: dimension.values for dimension in trials.dimensions}
        table = pd.concat([trials.table, pd.DataFrame(values)], axis=1)
        table.insert(0, "trial", table.index.astype(str))
        order = pd.DataFrame(
            {"other": ~trials.finished, "behind": -trials.sign * trials.table["value"]},
            index=table.index,
        )
        places = order.sort_values(["other", "behind"], kind="stable", na_position="last").index
        return table.loc[places].reset_index(drop=True)


def compute(logs: Logs, options: Options) -> Tables:
    """Return the tables; raise `LogError` where the logs are no search."""
    trials = trials_of(logs, options)
    sample = sample_of(trials)
    return Tables(
        trials=trials,
        effects=effects_table(trials),
        importance=importance_of(trials),
        claims=claims_table(trials),
        strategies=strategies_table(trials, sample),
        of_seeds=sample is not None and sample.of_seeds,
        epoch_cost=epoch_cost(trials),
        gain_since_head=gain_since_head(trials),
        stopping=stopping_of(trials),
        noise=noise_of(trials),
        unused=pd.DataFrame([vars(file) for file in logs.unused], columns=["file", "reason"]),
        notes=logs.notes,
    )
