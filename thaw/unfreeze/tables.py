"""All tables of the report on unfreezing; text and plots are made from nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.logs import Logs
from analysis.transfer.tables import Tables as TransferTables
from analysis.transfer.tables import compute as compute_transfer
from thaw.unfreeze.backtest import COLUMNS, backtest
from thaw.unfreeze.heads import Heads, heads_of
from thaw.unfreeze.moments import Moments, Sample, moments_of, sample_of, timing_table
from thaw.unfreeze.options import Options


@dataclass(frozen=True)
class Tables:
    """What was computed, in the unit of the logs."""

    search: TransferTables
    heads: Heads
    sample: Sample
    timing: pd.DataFrame
    moments: Moments | None
    by_epoch: pd.DataFrame
    rules: pd.DataFrame
    options: Options

    def files(self) -> dict[str, pd.DataFrame]:
        """Return the tables that are written as CSV, by the names of their files."""
        heads = self.heads.table.rename_axis("run").reset_index()
        return self.search.files() | {
            "heads": heads,
            "timing": self.timing,
            "moments": self.by_epoch,
            "rules": self.rules,
        }


def compute(logs: Logs, options: Options) -> Tables:
    """Return the tables; raise `LogError` where the logs are no search."""
    search = compute_transfer(logs, options)
    trials = search.trials
    heads = heads_of(logs, trials, options)
    sample = sample_of(trials, heads)
    moments = moments_of(trials, sample)
    rules = pd.DataFrame(columns=COLUMNS.split())
    if moments is not None:
        rules = backtest(heads.longest(), moments, trials.metric, trials.mode)
    return Tables(
        search=search,
        heads=heads,
        sample=sample,
        timing=timing_table(trials, sample),
        moments=moments,
        by_epoch=pd.DataFrame() if moments is None else moments.table(),
        rules=rules,
        options=options,
    )
