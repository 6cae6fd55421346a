"""How a command that trained trials ends: what to look at next, and its exit code."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import typer

from thaw.mirror import is_url
from thaw.results import Table

INTERRUPTED = 130


def end(table: Table, folder: str, again: str) -> None:
    """Show how to look further; exit with 1 or 130 where not all went well or to its end."""
    typer.echo("\nLook further:")
    if is_url(folder):
        here = f"results/{folder.partition('?')[0].rstrip('/').rpartition('/')[2]}"
        typer.echo(f"  thaw fetch {quote(folder)} --to {quote(here)}")
        folder = here
    typer.echo(f"  thaw best {folder}\n  tensorboard --logdir {folder}")
    if (Path(folder) / "optuna.db").exists():
        typer.echo(f"  optuna-dashboard sqlite:///{folder}/optuna.db")
    typer.echo(f"  {folder}/trials.csv")
    if table.halted:
        typer.echo(f"thaw: {table.halted}\nthaw: then go on: {again}", err=True)
        raise typer.Exit(1)
    if table.cut_off:
        raise typer.Exit(INTERRUPTED)
    if {row.status for row in table.rows.values()} == {"failed"}:
        raise typer.Exit(1)
