"""Writes a report: each file aside and renamed, so that none is ever half there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from analysis.document import Document, Picture
from analysis.html import html_page
from analysis.logs import LogError
from analysis.markdown import markdown

MARKER = "thaw_report"
"""Key of `summary.json` by which a folder is known as a report, not as logs."""


def write_report(document: Document, out: Path) -> list[Path]:
    """Write `report.md`, `report.html`, `summary.json`, `tables/*.csv` and `pictures/*.png`.

    They go into the folder `out`. Files of an earlier report are replaced, others stay. Raise
    `LogError` where it cannot be written to.
    """
    texts = {
        "report.md": markdown(document),
        "report.html": html_page(document),
        "summary.json": json.dumps(_summary(document), indent=1, allow_nan=False) + "\n",
    }
    for name, table in document.tables.items():
        texts[f"tables/{name}.csv"] = table.to_csv(index=False)
    pictures = [
        b for section in document.sections for b in section.blocks if isinstance(b, Picture)
    ]
    try:
        return [
            *(write_bytes(out / picture.file, picture.png) for picture in pictures),
            *(write_text(out / name, text) for name, text in texts.items()),
        ]
    except OSError as error:
        raise LogError(f"--out {out}: cannot be written ({error.strerror})") from None


def write_text(path: Path, text: str) -> Path:
    """Write a file aside and rename it; folders are made."""
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file aside and rename it; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)  # it may be a link to somewhere else
    aside.write_bytes(data)
    os.replace(aside, path)
    return path


def _summary(document: Document) -> dict[str, object]:
    return {
        MARKER: document.name,
        "title": document.title,
        "made": document.made.isoformat(),
        "headline": dict(document.headline),
        "summary": document.summary,
        **document.facts,
    }
