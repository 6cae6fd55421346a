"""What checks that training does what it should: `thaw check`; slow imports wait for the call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

check_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Check that training does what it should.",
    epilog="Example:  [bold]thaw check confusion results/RUN[/]",
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(check_app, name="check")


@check_app.command(
    "confusion",
    epilog="Examples:  [bold]thaw check confusion results/RUN[/]  |  "
    "[bold]thaw check confusion results/RUN --trial 0007[/]  |  "
    "[bold]thaw check confusion best/schedule.yaml --out confusion.png[/]",
)
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
    from rich.console import Console

    from thaw.confusion_check import check_confusion

    check_confusion(what, trial, store, Path(out) if out else None, Console())
