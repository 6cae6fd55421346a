"""What is written: the same numbers in every form, names as they are, files whole or not at all."""

import csv
import html
import io
import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis.document import Document
from analysis.files import write_report, write_text
from analysis.html import html_page
from analysis.logs import LogError, Logs, Unused
from analysis.markdown import escaped, markdown
from analysis.page import STYLE
from analysis.reports import REPORTS
from tests.analysis.by_hand import LINE, OPTIONS, logs_of, moved

MADE = date(2026, 1, 2)
NASTY = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "a|b `c` [d](e) *f* _g_",
    "quote\"'&amp;",
    "übung ☃ \u2028 line",
)
TABLES = (
    "forecasts "
    "runs phases checkpoints marginal_gains patterns groups recommendations cost_benefit unused"
)

PHASES = "phase start end mean_gain relative_to_first cumulative share_of_total num_runs interval"


def document_of(logs: Logs, options: object = OPTIONS) -> Document:
    return REPORTS[0].make(logs, options, MADE)


@pytest.fixture(scope="module")
def nasty() -> Document:
    runs = {name: moved(LINE, place / 10) for place, name in enumerate(NASTY)}
    logs = logs_of(runs, label_group={name: name[::-1] for name in NASTY})
    unused = tuple(Unused(f"{name}.txt", f"no log: {name}") for name in NASTY)
    return document_of(replace(logs, unused=unused, notes=NASTY))


def without_scripts(page: str) -> str:
    """The page as it would be without what is in script elements."""
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_html_shows_names_and_never_runs_them(nasty: Document) -> None:
    page = without_scripts(html_page(nasty)).replace("<wbr>", "")
    assert "<img" not in page and "alert(1)</script" not in page
    for name in NASTY:
        assert html.escape(name) in page, name


@pytest.mark.parametrize("metric", ["<b>val_acc</b>", "<img src=x onerror=alert(1)> acc"])
def test_the_name_of_a_metric_is_never_markup(metric: str) -> None:
    document = document_of(logs_of({"a": LINE, "b": moved(LINE, 0.1)}, metric))
    for text in (without_scripts(html_page(document)), markdown(document)):
        assert html.escape(metric, quote=False) in text
        assert metric not in text, text[text.index(metric) - 80 :][:200]


def test_names_cannot_end_the_embedded_json(nasty: Document) -> None:
    parts = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html_page(nasty))
    assert len(parts) == 3
    for part in parts:
        assert json.loads(part)["data"], part[:100]
        assert "<" not in part


def test_labels_in_charts_are_escaped_for_plotly(nasty: Document) -> None:
    charts = {b.name: b for s in nasty.sections for b in s.blocks if hasattr(b, "figure")}
    texts = [trace.get("text", "") for trace in charts["curves"].figure["data"]]
    assert html.escape(NASTY[0]) in texts, texts


class Addresses(HTMLParser):
    """What the elements of a page point to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [to or "" for name, to in attrs if name in ("src", "href", "srcset", "data")]


def test_html_asks_no_network_for_anything(nasty: Document) -> None:
    page = html_page(nasty)
    reader = Addresses()
    reader.feed(page)
    assert [to for to in reader.found if not to.startswith("#")] == []
    assert "url(" not in STYLE and "@import" not in STYLE
    assert "default-src 'none'" in page and 'name="viewport"' in page


def test_html_has_plotly_once(nasty: Document) -> None:
    assert html_page(nasty).count("plotly.js v") == 1


def test_markdown_keeps_each_row_on_its_line(nasty: Document) -> None:
    lines = [line for line in markdown(nasty).splitlines() if line.startswith("| ")]
    assert all(line.endswith(" |") for line in lines)
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
    rules = [place for place, line in enumerate(lines) if line.startswith("| ---")]
    for place, start in enumerate(rules):
        end = rules[place + 1] - 1 if place + 1 < len(rules) else len(lines)
        assert len(set(widths[start - 1 : end])) == 1, lines[start - 1 : end]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("gen_albumentations_weather/BDD10k", "gen_albumentations_weather/BDD10k"),
        ("<b>", "&lt;b&gt;"),
        ("a|b", "a\\|b"),
        ("_a_", "\\_a\\_"),
        ("two\nlines", "two lines"),
        ("+0.03", "+0.03"),
    ],
)
def test_markdown_escapes_what_it_must(name: str, shown: str) -> None:
    assert escaped(name) == shown


def test_every_table_is_a_file_that_pandas_reads_back(nasty: Document, tmp_path: Path) -> None:
    write_report(nasty, tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out/tables").iterdir()} == set(TABLES.split())
    for name, table in nasty.tables.items():
        found = pd.read_csv(tmp_path / f"out/tables/{name}.csv", keep_default_na=False)
        assert list(found.columns) == list(table.columns), name
        assert len(found) == len(table), name
    runs = pd.read_csv(tmp_path / "out/tables/runs.csv")["run"]
    assert sorted(runs) == sorted(NASTY)


def test_the_columns_that_others_rely_on(nasty: Document) -> None:
    columns = {name: list(table.columns) for name, table in nasty.tables.items()}
    assert " ".join(columns["phases"][:9]) == PHASES
    assert columns["checkpoints"][:4] == ["run", "20", "30", "peak_step"]
    assert columns["marginal_gains"][:3] == ["run", "10-20", "20-30"]
    assert columns["unused"] == ["file", "reason"]


def test_summary_json_is_plain_json_with_the_numbers(nasty: Document, tmp_path: Path) -> None:
    write_report(nasty, tmp_path)
    text = (tmp_path / "summary.json").read_text()
    found = json.loads(text, parse_constant=pytest.fail)
    assert found["phases"][0]["mean_gain"] == nasty.tables["phases"]["mean_gain"][0]
    assert found["num_runs"]["complete"] == len(NASTY)
    assert found["summary"] == nasty.summary


def test_text_page_and_tables_have_the_same_numbers(nasty: Document) -> None:
    shown = [f"{gain:+.2f}" for gain in nasty.tables["phases"]["mean_gain"]]
    for text in (nasty.summary, markdown(nasty), html_page(nasty)):
        assert all(gain in text for gain in shown), shown


def test_the_bars_are_the_table(nasty: Document) -> None:
    charts = {b.name: b for s in nasty.sections for b in s.blocks if hasattr(b, "figure")}
    assert charts["phases"].figure["data"][0]["y"] == nasty.tables["phases"]["mean_gain"].tolist()


def test_a_report_replaces_its_own_files_and_leaves_others(nasty: Document, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("1")
    (tmp_path / "report.md").write_text("old")
    write_report(nasty, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "1"
    assert (tmp_path / "report.md").read_text() == markdown(nasty)
    assert [path.name for path in tmp_path.rglob("*.new")] == []


def test_a_folder_that_cannot_be_written_is_told(nasty: Document, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(LogError, match="cannot be written"):
        write_report(nasty, tmp_path / "out")


def test_a_file_is_whole_or_the_old_one(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text() == "old"


def test_many_runs_are_cut_and_it_is_said() -> None:
    runs = {f"run{number:02}": moved(LINE, number / 100) for number in range(30)}
    document = document_of(logs_of(runs), replace(OPTIONS, max_rows=5, max_curves=7))
    page, text = html_page(document), markdown(document)
    assert "7 of 30 curves are drawn" in page
    assert "5 of 30 rows are shown; all of them are in <code>tables/checkpoints.csv" in page
    assert "5 of 30 rows; all of them: [tables/checkpoints.csv](tables/checkpoints.csv)" in text
    assert len(document.tables["checkpoints"]) == 30


def test_nothing_to_average_still_is_a_report() -> None:
    document = document_of(logs_of({"a": [(5, 1.0)], "b": [(5, 2.0)]}))
    assert "None of 2 runs are complete at 30" in document.summary
    for text in (markdown(document), html_page(document)):
        assert "a single value, at 5" in text
        assert "nan" not in without_scripts(text).lower()


def test_a_table_without_rows_still_has_its_columns() -> None:
    document = document_of(logs_of({"a": LINE}))
    assert {name for name, table in document.tables.items() if table.columns.empty} == set()
    assert document.tables["groups"].empty and document.tables["unused"].empty


def test_csv_cells_are_quoted_where_they_must_be(nasty: Document) -> None:
    text = nasty.tables["runs"].to_csv(index=False)
    rows = list(csv.reader(io.StringIO(text)))
    assert {len(row) for row in rows} == {len(rows[0])}
