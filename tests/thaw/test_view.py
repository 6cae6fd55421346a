"""What a person sees: whole words and numbers at every width, and no stumbling over odd rows."""

import io
import math
from typing import Any

import pytest
from rich.console import Console

from tests.thaw.helpers import text_of
from thaw.results import Row, Table
from thaw.view import View, final_table

WIDTHS = (80, 120, 200)
VALUES: dict[str, Any] = {
    "head_lr": 0.0045,
    "frozen_batchnorm": "eval_frozen",
    "unfreeze_epoch": 10,
    "partial_epochs": 0,
    "total_epochs": 16,
    "full_lr": 0.00123456,
    "backbone_multiplier": 0.0512345,
}


def row(number: int, best: float, status: str = "stopped", ended: str = "") -> Row:
    return Row(
        f"{number:04}",
        VALUES,
        status=status,
        ended=ended or "stopped by ASHA at epoch 12",
        best=best,
        last=best,
        epochs=12,
        segments_trained=1234,
        segments_reused=5678,
    )


def table(*rows: Row) -> Table:
    return Table("val_accuracy", "max", {row.trial: row for row in rows})


def view_of(shown: Table, *, width: int, terminal: bool = True) -> str:
    """Return all that the view of `shown` writes from its beginning to its end."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    with View(console, shown, num_trials=24, title="unfreeze_timing on 2 slots") as view:
        view.refresh()
    return file.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_fits_and_cuts_nothing(width: int) -> None:
    text = text_of(final_table(table(row(0, 0.98765), row(1, math.nan)), width=width), width)
    assert "…" not in text, text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width, text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("cell", ["0007", "98.77 %", "1234", "5678", *VALUES])
def test_the_table_shows_every_cell_whole(width: int, cell: str) -> None:
    text = text_of(final_table(table(row(7, 0.98765)), width=width), width)
    assert cell in text, text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("value", ["0.0045", "eval_frozen", "0.00123", "0.0512"])
def test_the_table_shows_every_value_with_three_digits(width: int, value: str) -> None:
    text = text_of(final_table(table(row(7, 0.98765)), width=width), width)
    assert value in text, text


def test_the_table_shows_the_best_first_and_a_dash_for_no_value() -> None:
    shown = text_of(final_table(table(row(0, math.nan), row(1, 0.5), row(2, 0.9)), width=200), 200)
    lines = [line.split() for line in shown.splitlines() if line.strip()[:2] == "00"]
    assert [line[0] for line in lines] == ["0002", "0001", "0000"]
    assert lines[2][1] == "-", lines[2]


def test_the_table_says_how_many_it_leaves_out() -> None:
    shown = text_of(final_table(table(*(row(n, 0.5) for n in range(5))), width=200, most=3), 200)
    assert "5 trials, best first (3 shown)" in shown
    assert shown.count("stopped by ASHA") == 3


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_without_trials_is_shown(width: int) -> None:
    assert "0 trials" in text_of(final_table(table(), width=width), width)


@pytest.mark.parametrize(
    "ended", ["failed: OSError: [/data/cat.png] is broken", "failed: [b]bold[/b] [Errno 2]"]
)
def test_a_reason_with_brackets_is_shown_as_it_is(ended: str) -> None:
    text = text_of(final_table(table(row(0, 0.5, "failed", ended)), width=300), 300)
    assert ended in text, text


@pytest.mark.parametrize("width", (80, 200))
def test_the_view_shows_counts_best_and_time(width: int) -> None:
    shown = table(row(0, 0.5), row(1, 0.9), row(2, 0.7, "finished"), row(3, 0.6, "running"))
    text = words(view_of(shown, width=width))
    for part in (
        "unfreeze_timing on 2 slots",
        "3/24 trials done (2 stopped, 1 finished), 1 running",
        f"segments: {4 * 1234} trained, {4 * 5678} reused",
        "best 90.00 %",
        "left",
    ):
        assert part in text, text


@pytest.mark.parametrize("width", (80, 200))
def test_the_view_cuts_nothing(width: int) -> None:
    text = view_of(table(row(0, 0.5), row(3, 0.6, "running")), width=width)
    assert "…" not in text, text


@pytest.mark.parametrize("width", (80, 200))
def test_the_view_shows_a_search_that_has_no_trial_yet(width: int) -> None:
    text = words(view_of(table(), width=width))
    assert "0/24 trials done (none yet), 0 running" in text, text
    assert "best -" in text, text


def test_the_view_survives_a_running_trial_without_values() -> None:
    text = words(view_of(table(Row("0000", {}), Row("0001", {"lr": None})), width=80))
    assert "2 running" in text, text


def test_the_view_says_what_the_monitor_says() -> None:
    stuck = row(3, 0.6, "running")
    stuck.monitor = "plateau since epoch 9"
    shown = table(row(2, 0.5, "running"), stuck, row(1, 0.9, "finished"))
    text = words(view_of(shown, width=200))
    assert "trial epoch last best monitor parameters" in text, text
    assert "0003 12 60.00 % 60.00 % plateau since epoch 9" in text, text
    stuck.monitor = ""
    assert "monitor" not in view_of(shown, width=200)


def test_a_log_gets_one_line_at_the_start() -> None:
    text = view_of(table(row(0, 0.5)), width=80, terminal=False)
    assert text == "unfreeze_timing on 2 slots: 24 trials\n"


def test_a_log_says_what_the_monitor_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thaw.view._LINE_EVERY_S", -1.0)
    stuck = row(3, 0.6, "running")
    stuck.monitor = "plateau since epoch 9"
    text = words(view_of(table(stuck), width=200, terminal=False))
    assert "1 running (0003 plateau since epoch 9) | segments" in text, text
