"""`thaw each`: which runs it makes of a command, and what it does with how they end."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.thaw.helpers import Thaw
from thaw.cli import app
from thaw.each import runs_of


def test_each_value_has_its_own_folder_and_setting() -> None:
    command = ["search", "cyclic_lambda", "--out", "faces", "--trials", "2"]
    runs = runs_of("resolution=32, 24", command)
    assert list(runs) == [Path("faces/resolution-32"), Path("faces/resolution-24")], "in order"
    assert runs[Path("faces/resolution-24")] == [
        *("search", "cyclic_lambda", "--out", "faces/resolution-24", "--trials", "2"),
        *("--set", "resolution=24"),
    ]


@pytest.mark.parametrize("together", [(), ("--together",)])
def test_it_runs_the_command_and_ends_as_it_does(
    together: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made"
    rest = ("resolution=20,40", "search", "cyclic_lambda", "--out", str(out), "--trials", "1")
    ended = CliRunner().invoke(app, ["each", *together, *rest])
    told = (out / "resolution-20.log").read_text() if together else capfd.readouterr().err
    assert ended.exit_code == 2
    assert "resolution: Input should be 16, 24 or 32, got 20" in told
    assert "got 40" not in told, "the next value is not tried"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resolution=", "search", "s", "--out", "o"), "each 'resolution=': must be key=value"),
        (("r=1,1", "search", "s", "--out", "o"), "each 'r=1,1': must be key=value"),
        (("r=1,2", "search", "s"), "each: the command needs one --out FOLDER"),
        (("r=1,2", "search", "s", "--out"), "each: the command needs one --out FOLDER"),
    ],
)
def test_bad_input_is_told(arguments: tuple[str, ...], message: str, thaw: Thaw) -> None:
    assert thaw.refused("each", *arguments).startswith(message)
