"""Pictures of a report: in the page itself, beside it as files, and named in Markdown."""

import base64
import re
from datetime import date
from pathlib import Path

import pytest

from analysis.document import Document, Picture, Section
from analysis.files import write_report

PNG = b"\x89PNG not really one"
PICTURE = Picture("faces", PNG, 'Two "faces" <b>', "before & after")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    document = Document(
        name="some",
        title="Some",
        made=date(2026, 1, 2),
        headline=(),
        summary="",
        sections=(Section("Faces", (PICTURE,)),),
        tables={},
    )
    write_report(document, tmp_path)
    return tmp_path


def test_the_page_holds_the_picture_and_its_words_escaped(report: Path) -> None:
    page = (report / "report.html").read_text()
    (data,) = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(data) == PNG
    assert 'alt="Two &quot;faces&quot; &lt;b&gt;"' in page
    assert "<figcaption>before &amp; after</figcaption>" in page


def test_the_file_lies_beside_and_markdown_names_it(report: Path) -> None:
    text = (report / "report.md").read_text()
    (path,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert (report / path).read_bytes() == PNG
    assert "before &amp; after" in text
