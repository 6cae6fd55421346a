"""The reports there are: a report is a package with options and a function, and a line here.

This file imports nothing that is slow; the command line is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING, Any

from analysis.diminishing.options import Options as DiminishingOptions
from analysis.transfer.options import Options as TransferOptions

if TYPE_CHECKING:
    from analysis.document import Document
    from analysis.logs import Logs


@dataclass(frozen=True)
class Report:
    """A kind of report."""

    name: str
    help: str
    options: type
    """Frozen dataclass; its fields are made by `analysis.options.option`."""
    module: str
    """It has `report(logs, options, made)` -> `Document`."""

    def make(self, logs: Logs, options: Any, made: date) -> Document:
        """Return the report on `logs`; raise `LogError` where they do not allow one."""
        document: Document = import_module(self.module).report(logs, options, made)
        return document


REPORTS = (
    Report(
        "diminishing-returns",
        "Where more training stops paying: marginal gains, recommended lengths, cost and benefit.",
        DiminishingOptions,
        "analysis.diminishing.report",
    ),
    Report(
        "strategies",
        "Freezing, unfreezing and neither side by side, and what the source claims of them.",
        TransferOptions,
        "analysis.transfer.report",
    ),
)
