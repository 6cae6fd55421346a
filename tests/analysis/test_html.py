"""The page in a real browser: charts are drawn, tables sort, a phone can read it, no errors.

Chromium is Debian's package: `apt-get install chromium`.
"""

import html
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.diminishing.options import Options
from analysis.document import Document
from analysis.files import write_report
from analysis.html import html_page
from analysis.logs import Logs
from analysis.reports import REPORTS
from tests.analysis.by_hand import LINE, OPTIONS, logs_of, moved
from tests.analysis.test_report_output import NASTY

CHROMIUM = shutil.which("chromium")
FLAGS = "--headless --no-sandbox --disable-gpu --enable-logging=stderr --virtual-time-budget=5000"
PHONE = 390
PHONE_FRAME = """<title></title><iframe width="{width}" height="844" srcdoc="{page}"></iframe>
<script>
const widest = (page, what) =>
  Math.max(...Array.from(page.querySelectorAll(what), found => found.scrollWidth));
addEventListener('load', () => {{
  const page = document.querySelector('iframe').contentDocument;
  document.title = [page.documentElement.scrollWidth, widest(page, 'figure'), widest(page, 'table')]
    .join(' ');
}});
</script>"""
"""A browser's window cannot be as narrow as a phone; a frame can."""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on PATH; on Debian: apt-get install chromium"
)
Browse = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Open a page; return its DOM and what it told the console."""

    def dump(page: Path, *options: str, at: str = "") -> tuple[str, list[str]]:
        run = subprocess.run(
            [
                CHROMIUM or "",
                *FLAGS.split(),
                f"--user-data-dir={tmp_path / 'profile'}",
                *options,
                "--dump-dom",
                f"{page.as_uri()}{at}",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return run.stdout, re.findall(r".*CONSOLE.*", run.stderr)

    return dump


@pytest.fixture(scope="module")
def document(reference_logs: Logs) -> Document:
    return REPORTS[0].make(reference_logs, Options(), date(2026, 1, 2))


@pytest.fixture(scope="module")
def page(document: Document, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(document, folder)
    return folder / "report.html"


class Rows(HTMLParser):
    """First cells of the rows of a table."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self.table, self.inside, self.column, self.cells = table, False, -1, list[list[str]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = (self.inside or dict(attrs).get("id") == self.table) and tag != "section"
        self.column = {"tr": -1, "td": self.column + 1}.get(tag, self.column)
        if self.inside and tag == "td":
            self.cells += [[]] if self.column == 0 else []
            self.cells[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.inside and self.cells and data.strip():
            self.cells[-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "table"


def rows(dom: str, table: str) -> list[list[str]]:
    reader = Rows(table)
    reader.feed(dom)
    return reader.cells


def test_an_error_on_a_page_would_be_seen(browse: Browse, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("<script>missing()</script>")
    _, told = browse(tmp_path / "bad.html")
    assert any("missing is not defined" in line for line in told), told


def test_the_report_opens_without_a_word_on_the_console(browse: Browse, page: Path) -> None:
    _, told = browse(page)
    assert told == []


def test_all_curves_and_bars_are_drawn(browse: Browse, page: Path, document: Document) -> None:
    dom, _ = browse(page)
    curves = dom[dom.index('id="plot_curves"') : dom.index('id="plot_phases"')]
    drawn = curves.count('class="trace scatter trace')
    assert drawn == document.tables["checkpoints"]["run"].nunique() + 1, "runs and their mean"
    bars = dom[dom.index('id="plot_phases"') : dom.index('id="checkpoints"')]
    assert bars.count('class="point"') == len(document.tables["phases"])


@pytest.mark.parametrize("down", [False, True])
def test_a_table_sorts_by_numbers(
    down: bool, browse: Browse, page: Path, document: Document
) -> None:
    at = f"#sort=checkpoints.4.{'down' if down else 'up'}"
    found = [row[0] for row in rows(browse(page, at=at)[0], "checkpoints")]
    table = document.tables["checkpoints"].sort_values(
        "peak_step", ascending=not down, kind="stable"
    )
    assert found == table["run"].tolist()


def test_a_table_sorts_by_words(browse: Browse, page: Path, document: Document) -> None:
    found = [
        row[0] for row in rows(browse(page, at="#sort=marginal_gains.0.up")[0], "marginal_gains")
    ]
    assert found == sorted(document.tables["marginal_gains"]["run"], key=str.lower)


def test_empty_cells_come_last_both_ways(browse: Browse, page: Path) -> None:
    for way in ("up", "down"):
        dom, _ = browse(page, at=f"#sort=checkpoints.3.{way}")
        last = [row[3] for row in rows(dom, "checkpoints")][-6:]
        assert last == [""] * 6, f"{way}: the six runs that did not reach 320k"


def test_a_phone_scrolls_tables_and_not_the_page(
    browse: Browse, document: Document, tmp_path: Path
) -> None:
    phone = PHONE_FRAME.format(width=PHONE, page=html.escape(html_page(document)))
    (tmp_path / "phone.html").write_text(phone)
    dom, _ = browse(tmp_path / "phone.html")
    told = re.search(r"<title>(\d+) (\d+) (\d+)</title>", dom)
    assert told is not None, dom[:500]
    assert int(told[1]) <= PHONE, f"the page needs {told[1]} px of {PHONE}"
    assert int(told[2]) <= PHONE, f"a chart needs {told[2]} px of {PHONE}"
    assert int(told[3]) > PHONE, "no table is wider than its box: nothing was tested"


def test_names_with_html_stay_names(browse: Browse, tmp_path: Path) -> None:
    runs = {name: moved(LINE, place / 10) for place, name in enumerate(NASTY)}
    logs = logs_of(runs, label_group={name: name[::-1] for name in NASTY})
    write_report(REPORTS[0].make(logs, OPTIONS, date(2026, 1, 2)), tmp_path)
    dom, told = browse(tmp_path / "report.html")
    assert told == []
    assert "<img" not in dom
    assert {row[0] for row in rows(dom, "checkpoints")} == set(NASTY)
