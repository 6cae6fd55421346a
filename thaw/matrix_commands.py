"""`thaw matrix`: imports nothing slow before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

STATUS = "status"
HoursPerPoint = Annotated[
    float | None,
    typer.Option(
        min=0.0001,
        metavar="HOURS",
        help="Device-hours that a point of the metric is worth: runs whose next phase is predicted "
        "to cost more for each are ended. Default: none is.",
    ),
]
_INTERRUPTED = 130


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        epilog="Examples:  [bold]thaw matrix docs/matrix.yaml[/]  |  "
        "[bold]thaw matrix status results/matrix[/]  |  "
        "[bold]thaw report diminishing-returns results/matrix[/]"
    )(matrix)


def matrix(
    what: Annotated[
        str, typer.Argument(metavar="FILE.yaml|status", help="The matrix to train, or `status`.")
    ],
    results: Annotated[
        str | None, typer.Argument(metavar="[RESULTS]", help="With `status`: the folder.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="Folder of results, new or of the same matrix; default results/FILE."),
    ] = None,
    store: Annotated[
        str, typer.Option(help="Store of trained segments, a path or URL; shared by all.")
    ] = "results/store",
    store_budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Drop states so that the store fits, such as 20GB."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster (auto, host:port); default: start Ray here.")
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, help="Runs at once; default: what the cluster holds.")
    ] = None,
    hours_per_point: HoursPerPoint = None,
) -> None:
    """Train strategy x data set x model, or what else the axes of a file are, in its order.

    The same command again goes on where it was cut off. `thaw matrix status RESULTS` says which
    runs are complete, running, pending or failed.
    """
    from thaw.view import make_console
    from training.errors import UserError

    if what == STATUS:
        from thaw.matrix_status import read_states, show_states

        if results is None:
            raise UserError("matrix status: name the folder of results")
        metric, states = read_states(Path(results))
        show_states(metric, states, make_console())
        return
    if results is not None:
        raise UserError(f"matrix: {results!r} is one argument too many; --out names the folder")
    from thaw.matrix import run_matrix
    from thaw.options import Options

    folder = out or f"results/{Path(what).stem}"
    options = Options(
        study="",
        trials=0,
        seed=0,
        out=folder,
        store=store,
        store_budget=store_budget,
        scheduler="none",
        address=address,
        max_concurrent=max_concurrent,
        hours_per_point=hours_per_point,
    )
    table = run_matrix(Path(what), options, make_console())
    typer.echo(
        f"\nLook further:\n  thaw matrix status {folder}\n"
        f"  thaw report diminishing-returns {folder} --out {folder}-report"
    )
    if table.halted:
        typer.echo(f"thaw: {table.halted}\nthaw: then run it again", err=True)
        raise typer.Exit(1)
    if table.cut_off:
        raise typer.Exit(_INTERRUPTED)
    if {row.status for row in table.rows.values()} == {"failed"}:
        raise typer.Exit(1)
