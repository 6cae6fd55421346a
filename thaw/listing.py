"""What can be searched, as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from search_spaces.study import STUDIES, study
from trainables.systems import system


def list_studies(console: Console) -> None:
    """Print each study with its dimensions and the fields of its task."""
    for name in STUDIES:
        found = study(name)
        console.print(Text.assemble("\n", (found.name, "bold"), f": {found.question}"))
        console.print(f"system {found.system}, {found.mode} {found.metric}; dimensions:")
        table = Table("name", "range", "unit", "what it is", box=None, pad_edge=False)
        for dimension in found.dimensions:
            table.add_row(dimension.name, dimension.range(), dimension.unit, dimension.help)
        console.print(table)
        console.print("\nfields of the task (--set):")
        fields = Table("name", "default", "what it is", box=None, pad_edge=False)
        for field, info in system(found.system).Settings.model_fields.items():
            fields.add_row(field, str(info.default), info.description or "")
        console.print(fields)
