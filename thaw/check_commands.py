"""`thaw check confusion`; slow imports wait for the call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(check_app: typer.Typer) -> None:
    """Add the commands to `thaw check`."""
    check_app.command(
        "confusion",
        epilog="Examples:  [bold]thaw check confusion results/RUN[/]  |  "
        "[bold]thaw check confusion results/RUN --trial 0007[/]  |  "
        "[bold]thaw check confusion best/schedule.yaml --out confusion.png[/]",
    )(confusion)


def confusion(
    what: Annotated[
        str,
        typer.Argument(
            help="Folder of a search's results, a schedule.yaml, or a study (baseline)."
        ),
    ],
    trial: Annotated[
        str | None, typer.Option(help="Trial of a search, such as 0007; default: the best.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="Store of trained segments; default: the search's, or results/store."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Picture to write; default: confusion-TRIAL.png in RESULTS.")
    ] = None,
) -> None:
    """Show which class was taken for which after each stage, as a table and a picture.

    Everything comes from the store: nothing is trained.
    """
    from thaw.confusion_check import check_confusion
    from thaw.console import PlainConsole

    check_confusion(what, trial, store, Path(out) if out else None, PlainConsole())
