"""`thaw each`: one command for several values of a setting, in order or at the same time."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

_OUT = "--out"
_THAW = (sys.executable, "-c", "from thaw.cli import main; main()")
_SIGNALLED = 128
"""A shell's exit code of what a signal ended, less the signal's number."""


def add_to(app: typer.Typer) -> None:
    """Add the command; what follows its first argument is not read as its own options."""
    app.command(
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        epilog="Examples:  [bold]thaw each resolution=32,24,16 search cyclic_lambda --out faces[/]"
        "  |  [bold]thaw each --together resolution=32,24,16 search cyclic_lambda --out faces "
        "--max-concurrent 1[/]",
    )(each)


def each(
    setting: Annotated[
        str, typer.Argument(metavar="KEY=A,B,C", help="A setting of --set, with its values.")
    ],
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="A command of thaw with --out.")
    ],
    together: Annotated[
        bool,
        typer.Option("--together", help="Run all at the same time; their output goes to files."),
    ] = False,
) -> None:
    """Run a command once for each value of a setting, in the order in which they are named.

    Each has a folder of its own below --out, named KEY-VALUE. A command that fails ends the row;
    Ctrl-C does too, once what runs has saved.
    """
    runs = runs_of(setting, command)
    with _ctrl_c_left_to_them():
        codes = _together(runs) if together else _in_order(runs)
    for code in codes:
        if code:
            raise typer.Exit(code if code > 0 else _SIGNALLED - code)


def runs_of(setting: str, command: Sequence[str]) -> dict[str, list[str]]:
    """Return the folder of each value, and the arguments of its run.

    Raises `UserError` where there are no values, one comes twice, or the command has no --out.
    """
    from training.errors import UserError

    key, _, text = setting.partition("=")
    values = [value.strip() for value in text.split(",")]
    if not key or not all(values) or len(set(values)) < len(values):
        raise UserError(f"each {setting!r}: must be key=value,value, each value once")
    if command.count(_OUT) != 1 or command[-1] == _OUT:
        raise UserError("each: the command needs one --out FOLDER; each value gets one below it")
    at = command.index(_OUT) + 1
    out, question, query = command[at].partition("?")  # a URL may have one
    runs = {}
    for value in values:
        folder = f"{out.rstrip('/')}/{key}-{value}{question}{query}"
        arguments = [*command[:at], folder, *command[at + 1 :], "--set", f"{key}={value}"]
        runs[folder] = arguments
    return runs


def _in_order(runs: dict[str, list[str]]) -> list[int]:
    codes = []
    for folder, arguments in runs.items():
        typer.echo(f"\n{_name(folder)}: thaw {' '.join(arguments)}")
        codes.append(subprocess.Popen([*_THAW, *arguments]).wait())
        if codes[-1]:
            break
    return codes


def _together(runs: dict[str, list[str]]) -> list[int]:
    """Start all, and wait for all of them."""
    started = []
    for folder, arguments in runs.items():
        path = _log_of(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as log:
            process = subprocess.Popen([*_THAW, *arguments], stdout=log, stderr=log)
        started.append(process)
        typer.echo(f"{_name(folder)}: see {path}")
    return [process.wait() for process in started]


def _log_of(folder: str) -> Path:
    """Return where the log of a run goes: beside its folder, and of a URL below this one."""
    return Path(f"results/{_name(folder)}.log" if "://" in folder else f"{folder}.log")


def _name(folder: str) -> str:
    return folder.partition("?")[0].rpartition("/")[2]


@contextmanager
def _ctrl_c_left_to_them() -> Iterator[None]:
    """Wait on at Ctrl-C: a terminal tells it to the commands as well, and they end by it.

    A handler and not `SIG_IGN`, which they would inherit.
    """
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
