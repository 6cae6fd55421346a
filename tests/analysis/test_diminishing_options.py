"""Options as people write them, and that each one is read, said and kept."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.diminishing.options import Options
from analysis.options import names, number, one_of, options_of, percents, whole
from analysis.reports import REPORTS
from analysis.steps import column, parse_step, parse_steps, phase_name, shown_about, shown_step


@pytest.mark.parametrize(
    ("text", "step"),
    [("90k", 90_000), ("1.5M", 1_500_000), ("320000", 320_000), (" 2K ", 2000), (".5", 0.5)],
)
def test_a_step_is_read(text: str, step: float) -> None:
    assert parse_step(text) == step


@pytest.mark.parametrize("text", ["", "k", "-1", "1e5", "nan", "9 0", "90kk", "\u0661"])
def test_what_is_no_step_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a step, such as 320000 or 320k"):
        parse_step(text)


@given(step=st.integers(0, 10**9))
def test_a_step_is_shown_such_that_it_can_be_read_again(step: int) -> None:
    assert parse_step(shown_step(step).replace(",", "")) == step
    assert float(column(step)) == step


@given(step=st.floats(0.1, 1e9))
def test_about_is_within_half_a_per_cent(step: float) -> None:
    assert parse_step(shown_about(step).replace(",", "")) == pytest.approx(step, rel=5.1e-3)


def test_a_phase_is_called_by_its_ends() -> None:
    assert phase_name(90_000, 160_000) == "90k-160k"


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (parse_steps, "90k,160k", (90_000, 160_000)),
        (percents, "60,92.5,100", (60, 92.5, 100)),
        (names, "strategy, model", ("strategy", "model")),
        (whole(1), "3", 3),
        (number(0, 1), "0.5", 0.5),
        (one_of("a", "b"), "b", "b"),
    ],
)
def test_a_value_is_read(read: Callable[[str], Any], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse_steps, "160k,90k"),
        (parse_steps, "90k,90k"),
        (parse_steps, "90k,"),
        (percents, "0"),
        (percents, "60,101"),
        (percents, "nan"),
        (names, " , "),
        (whole(1), "0"),
        (whole(1), "1.5"),
        (number(0, 1), "1.1"),
        (number(0, 1), "nan"),
        (one_of("a", "b"), "c"),
    ],
)
def test_a_wrong_value_is_refused(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError):
        read(text)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_each_option_of_a_report_has_a_help_and_a_unit(report: Any) -> None:
    for option in options_of(report.options):
        assert option.help.endswith("."), option.name
        assert option.metavar.isupper(), option.name


def test_defaults_ask_for_nothing() -> None:
    assert Options() == Options(**{f.name: f.default for f in fields(Options)})
