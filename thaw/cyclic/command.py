"""`thaw report cyclic`: it reads searches and their stores, where other reports read any logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def add_to(reports: typer.Typer) -> None:
    """Add the command to the reports."""
    reports.command(
        "cyclic",
        epilog="Examples:  [bold]thaw report cyclic results/RUN --out report[/]  |  "
        "[bold]thaw report cyclic results/RUN results/RUN-confirm --measure relative[/]",
    )(cyclic)


def cyclic(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULTS...", help="Folders of searches of cyclic_lambda."),
    ],
    out: Annotated[str, typer.Option(help="Folder to write to.")] = "report",
    store: Annotated[
        str | None, typer.Option(help="Their store, where it is not where it was.")
    ] = None,
    measure: Annotated[
        Literal["points", "relative"],
        typer.Option(help="Whether the gates take gains in points of accuracy or relative."),
    ] = "points",
    level: Annotated[
        float, typer.Option(min=50, max=99.9, help="Level of the intervals in per cent.")
    ] = 95.0,
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws over people.")] = 2000,
    faces: Annotated[int, typer.Option(min=0, max=100, help="People in a picture.")] = 6,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows of a table in the report.")] = 100,
) -> None:
    """What each cycle of co-training gained and cost, what to do next, and faces before and after.

    Several folders are taken together: resolutions, or the seeds of a confirmation.
    """
    from datetime import date

    from analysis.files import write_report
    from thaw.analysis_commands import user_errors
    from thaw.console import harmless
    from thaw.cyclic.options import Options
    from thaw.cyclic.reading import read_trials
    from thaw.cyclic.report import report

    options = Options(
        store=store, measure=measure, level=level, draws=draws, faces=faces, max_rows=max_rows
    )
    with user_errors():
        trials = read_trials([Path(folder) for folder in results], store)
        document = report(trials, options, date.today())
        written = write_report(document, Path(out))
    typer.echo(harmless(document.summary))
    typer.echo("\n" + "\n".join(str(path) for path in written if path.suffix != ".csv"))
