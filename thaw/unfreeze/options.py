"""What can be set of the report on unfreezing; imports nothing that is slow."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.options import number, option, whole
from analysis.transfer.options import Options as TransferOptions


@dataclass(frozen=True, kw_only=True)
class Options(TransferOptions):
    """Thresholds of the report."""

    settled: float = option(
        2.0,
        "The metric has settled where it changes by less than this from one epoch to the next, in "
        "points; also the growth of the train-validation gap that counts; default: 2.",
        "POINTS",
        number(0, 100),
    )
    drop: float = option(
        5.0,
        "The validation loss is flat where it drops by less than this share of itself within an "
        "epoch, in per cent; default: 5.",
        "PERCENT",
        number(0.01, 99),
    )
    noise: float = option(
        5.0,
        "The training loss is steady where its changes differ by less than this share of it, in "
        "per cent; default: 5.",
        "PERCENT",
        number(0.01, 99),
    )
    patience: int = option(
        2, "Epochs over which the loss must be flat and so on; default: 2.", "NUM", whole(2)
    )
