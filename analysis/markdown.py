"""A report as Markdown: text and tables, readable as they are."""

from __future__ import annotations

import html
import re

from analysis.document import Block, Chart, Document, Grid, Items, Picture, Text

_SPECIAL = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")
_LEADING = re.compile(r"^(?=[#+-])|(?<=^\d)(?=[.)])")


def markdown(document: Document) -> str:
    """Return the report; charts are left to the HTML page."""
    head = [f"{escaped(what)}: **{escaped(much)}**" for what, much in document.headline]
    lines = [
        f"# {escaped(document.title)}",
        f"{document.made.isoformat()}. {', '.join(head)}.",
        "## Executive summary",
        escaped(document.summary),
    ]
    for section in document.sections:
        lines.append(f"## {escaped(section.title)}")
        lines += [text for block in section.blocks if (text := _block(block))]
    return "\n\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    flat = " ".join(text.split())
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", html.escape(flat, quote=False))


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return _LEADING.sub(r"\\", escaped(text))
        case Items(items):
            return "\n".join(f"- {escaped(item)}" for item in items)
        case Grid():
            return _grid(block)
        case Chart():
            return ""
        case Picture():
            note = f"\n\n{escaped(block.note)}" if block.note else ""
            return f"![{escaped(block.alt)}]({block.file}){note}"


def _grid(grid: Grid) -> str:
    if not grid.rows:
        return "No rows."
    rule = ["---:" if numeric else "---" for numeric in grid.numeric]
    rows = [
        [escaped(heading) for heading in grid.headings],
        rule,
        *([escaped(cell.text) for cell in row] for row in grid.rows),
    ]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    if grid.num_rows > len(grid.rows):
        text += f"\n\n{len(grid.rows):,} of {grid.num_rows:,} rows; all of them: "
        text += f"[tables/{grid.file or grid.name}.csv](tables/{grid.file or grid.name}.csv)"
    return text
