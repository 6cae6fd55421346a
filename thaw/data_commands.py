"""What makes data: `thaw data faces`. Nothing that is slow is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Make sample data sets, in the layout of the real ones.",
    epilog="Example:  [bold]thaw data faces people --identities 100 --images 10[/]",
)


def add_data_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(data_app, name="data")


@data_app.callback()
def _group() -> None:
    """Keep `faces` a command of its own: typer drops the name of an only one."""


@data_app.command(
    epilog="Examples:  [bold]thaw data faces people[/]  |  "
    "[bold]thaw data faces crowd --identities 300 --images 20 --seed 1[/]  |  "
    "[bold]thaw search cyclic_lambda --data people[/]"
)
def faces(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the data set.")],
    identities: Annotated[
        int,
        typer.Option(min=4, max=10_000, help="Number of people; a quarter is for testing."),
    ] = 48,
    images: Annotated[int, typer.Option(min=2, max=1000, help="Images of each.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Decides every face.")] = 0,
) -> None:
    """Draw faces of 112 px, a folder for each identity under train and test, as VGGFace2 has them.

    An identity fixes geometry and colours; pose, light, expression and noise vary. Nobody is in
    both train and test.
    """
    from rich.console import Console

    from thaw.face_set import write_faces

    write_faces(folder, num_identities=identities, num_images=images, seed=seed, console=Console())
