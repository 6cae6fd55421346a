"""A report as one HTML page that needs no network: text, sortable tables, interactive charts.

The page forbids itself every connection. All text is escaped, also inside the embedded JSON.
"""

from __future__ import annotations

import base64
import html
import json

from plotly.offline import get_plotlyjs

from analysis.document import Block, Cell, Chart, Document, Grid, Items, Picture, Section, Text
from analysis.page import SCRIPT, STYLE

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
_NAME, _WIDE = 14, 40
"""Cells of more characters are broken into lines: on a phone, and everywhere."""


def html_page(document: Document) -> str:
    """Return the whole page; plotly.js is in it once, and only where there is a chart."""
    charts = [b for section in document.sections for b in section.blocks if isinstance(b, Chart)]
    title = html.escape(document.title)
    library = f"<script>{get_plotlyjs()}</script>" if charts else ""
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            _header(document, title),
            "<main>",
            *(_section(section) for section in document.sections),
            "</main>",
            "<footer>Made by thaw. The tables behind this page are in <code>tables/</code>, in the "
            "unit of the logs.</footer>",
            *(_data(chart) for chart in charts),
            f"{library}\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        )
    )


def _header(document: Document, title: str) -> str:
    tiles = "".join(
        f"<div><dt>{html.escape(what)}</dt><dd>{html.escape(much)}</dd></div>"
        for what, much in document.headline
    )
    links = "".join(
        f'<a href="#{_anchor(section)}">{html.escape(section.title)}</a>'
        for section in document.sections
    )
    return (
        f'<header>\n<h1>{title}</h1>\n<p class="made">{document.made.isoformat()}</p>\n'
        f'<dl class="headline">{tiles}</dl>\n<h2 id="executive-summary">Executive summary</h2>\n'
        f'<p class="summary">{html.escape(document.summary)}</p>\n<nav>{links}</nav>\n</header>'
    )


def _section(section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    anchor = _anchor(section)
    return f'<section>\n<h2 id="{anchor}">{html.escape(section.title)}</h2>\n{blocks}\n</section>'


def _anchor(section: Section) -> str:
    return "".join(c if c.isalnum() else "-" for c in section.title.lower())


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return f"<p>{html.escape(text)}</p>"
        case Items(items):
            return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
        case Grid():
            return _grid(block)
        case Chart():
            return _chart(block)
        case Picture():
            return _picture(block)


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    alt, note = html.escape(picture.alt), html.escape(picture.note)
    image = f'<img src="data:image/png;base64,{data}" alt="{alt}">'
    return f"<figure>{image}<figcaption>{note}</figcaption></figure>"


def _chart(chart: Chart) -> str:
    tall = " tall" if len(chart.figure["data"]) > 1 else ""
    caption = f"<figcaption>{html.escape(chart.note)}</figcaption>"
    return (
        f'<figure><div class="plot{tall}" id="plot_{chart.name}" '
        f'data-figure="figure_{chart.name}"></div>{caption}</figure>'
    )


def _data(chart: Chart) -> str:
    """Return the figure as JSON in which nothing can end the script element."""
    text = json.dumps(chart.figure, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="figure_{chart.name}">{text}</script>'


def _grid(grid: Grid) -> str:
    if not grid.rows:
        return '<p class="rows">No rows.</p>'
    heads = "".join(
        f'<th scope="col"{_class(numeric)}><button type="button">{html.escape(name)}</button></th>'
        for name, numeric in zip(grid.headings, grid.numeric, strict=True)
    )
    rows = "\n".join(f"<tr>{_row(row, grid.numeric)}</tr>" for row in grid.rows)
    shown = ""
    if grid.num_rows > len(grid.rows):
        shown = (
            f'<p class="rows">{len(grid.rows):,} of {grid.num_rows:,} rows are shown; all of them '
            f"are in <code>tables/{grid.file or grid.name}.csv</code>.</p>"
        )
    return (
        f'<div class="scroll" tabindex="0"><table id="{grid.name}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>{shown}"
    )


def _row(row: tuple[Cell, ...], numeric: tuple[bool, ...]) -> str:
    return "".join(
        f'<td{_class(number, cell)} data-key="{html.escape(str(cell.key))}">'
        f"{_breakable(cell.text)}</td>"
        for cell, number in zip(row, numeric, strict=True)
    )


def _breakable(text: str) -> str:
    """Return a cell's text, which may be broken after each slash: names of runs are paths."""
    return html.escape(text).replace("/", "/<wbr>")


def _class(numeric: bool, cell: Cell | None = None) -> str:
    length = 0 if cell is None or numeric else len(cell.text)
    names = ["num"] if numeric else []
    names += ["name"] if length > _NAME else []
    names += ["wide"] if length > _WIDE else []
    names += [cell.mark] if cell is not None and cell.mark else []
    return f' class="{" ".join(names)}"' if names else ""
