"""Draws the table of a finished search as `docs/search.svg`: python docs/picture.py RESULTS."""

import re
import sys
from pathlib import Path

from rich.console import Console

from thaw.results import Row, Table, read_search
from thaw.view import final_table

MOST = 12


def read_table(folder: Path) -> Table:
    """Return the table of a search from its files."""
    facts, rows = read_search(folder)
    metric = facts["metric"]
    known = set(Row("", {}).plain(metric))
    table = Table(metric, facts["mode"])
    for row in rows:
        values = {name: _value(text) for name, text in row.items() if name not in known}
        table.rows[row["trial"]] = Row(
            row["trial"],
            values,
            ended=row["ended"],
            best=float(row[f"best_{metric}"]),
            last=float(row[f"last_{metric}"]),
            epochs=int(row["epochs"]),
            segments_trained=int(row["segments_trained"]),
            segments_reused=int(row["segments_reused"]),
        )
    return table


def _value(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


if __name__ == "__main__":
    console = Console(record=True, width=186)
    console.print(final_table(read_table(Path(sys.argv[1])), width=186, most=MOST))
    drawn = console.export_svg(title="make search")
    local = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)  # no fonts from elsewhere
    Path(__file__).with_name("search.svg").write_text(local, encoding="utf-8")
