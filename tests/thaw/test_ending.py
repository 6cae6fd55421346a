"""What is said at the end of a search, and with which exit code."""

import pytest
import typer

from tests.thaw.helpers import Thaw
from thaw.ending import end
from thaw.results import Row, Table

URL = "s3://bucket/first?endpoint_override=127.0.0.1:9&scheme=http"


def table(*statuses: str, halted: str = "", of: int = 2) -> Table:
    rows = {str(n): Row(str(n), {}, status=status) for n, status in enumerate(statuses)}
    return Table("val_accuracy", "max", rows, halted=halted, num_trials=of)


def test_results_at_a_url_are_fetched_first(capsys: pytest.CaptureFixture[str]) -> None:
    end(table("finished", of=1), URL, "again")
    out = capsys.readouterr().out
    assert f"thaw fetch '{URL}' --to results/first\n" in out
    assert "  thaw best results/first\n" in out


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (table("finished", halted="store x: lost"), 1),
        (table("finished", "interrupted"), 130),
        (table("finished"), 130),  # of two
        (table(), 130),
        (table("failed", "failed"), 1),
    ],
)
def test_the_exit_code_says_how_it_ended(found: Table, code: int) -> None:
    with pytest.raises(typer.Exit) as ended:
        end(found, "out", "again")
    assert ended.value.exit_code == code


def test_a_halt_says_why_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        end(table("interrupted", halted="store x: lost"), "out", "thaw search --resume out")
    err = capsys.readouterr().err
    assert err == "thaw: store x: lost\nthaw: then go on: thaw search --resume out\n"


def test_a_url_where_a_folder_is_read_names_fetch(thaw: Thaw) -> None:
    assert "copied here by `thaw fetch`" in thaw.refused("best", "s3://bucket/first")
