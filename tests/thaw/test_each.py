"""`thaw each`: which runs it makes of a command, and what it does with how they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.faults.processes import wait_until
from tests.thaw.helpers import Thaw
from thaw.cli import app
from thaw.each import runs_of


def test_each_value_has_its_own_folder_and_setting() -> None:
    command = ["search", "cyclic_lambda", "--out", "faces", "--trials", "2"]
    runs = runs_of("resolution=32, 24", command)
    assert list(runs) == ["faces/resolution-32", "faces/resolution-24"], "in order"
    assert runs["faces/resolution-24"] == [
        *("search", "cyclic_lambda", "--out", "faces/resolution-24", "--trials", "2"),
        *("--set", "resolution=24"),
    ]


@pytest.mark.parametrize("query", ["", "?region=eu"])
def test_each_value_has_its_own_url(query: str) -> None:
    runs = runs_of("r=1", ["search", "s", "--out", f"s3://bucket/faces{query}"])
    assert runs == {
        f"s3://bucket/faces/r-1{query}": [
            *("search", "s", "--out", f"s3://bucket/faces/r-1{query}", "--set", "r=1")
        ]
    }


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


SAVES = """
import signal, sys, time
from pathlib import Path
out = Path(sys.argv[sys.argv.index("--out") + 1])

def save(*_):
    time.sleep(1)
    out.with_name(f"{out.name}.saved").touch()
    sys.exit(130)

signal.signal(signal.SIGINT, save)
out.with_name(f"{out.name}.began").touch()
time.sleep(60)
"""
EACH = """
import sys
from thaw import each
from thaw.cli import main
each._THAW = (sys.executable, "-c", sys.argv.pop(1))
main()
"""


@pytest.mark.parametrize(("together", "num"), [((), 1), (("--together",), 2)])
def test_ctrl_c_waits_until_what_runs_has_saved(
    together: tuple[str, ...], num: int, tmp_path: Path
) -> None:
    rest = (*together, "a=1,2", "search", "--out", tmp_path)
    command = [sys.executable, "-c", EACH, SAVES, "each", *map(str, rest)]
    with subprocess.Popen(command, start_new_session=True, stdout=-1, stderr=-1) as process:
        wait_until(lambda: len(list(tmp_path.glob("*.began"))) == num, 60.0, "its runs")
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert len(list(tmp_path.glob("*.saved"))) == num, err
    assert process.returncode == 130, err
    assert not (tmp_path / "a-2.began").exists() or num == 2, "the next one is not begun"
