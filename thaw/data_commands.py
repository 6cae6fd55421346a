"""What makes data: `thaw data camouflage`. Nothing that is slow is imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Make sample data sets, in the layout of the real ones.",
    epilog="Example:  [bold]thaw data camouflage camo --images 200 --difficulty 0.4[/]",
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(data_app, name="data")


@data_app.callback()
def _group() -> None:
    """Keep `camouflage` a command of its own: typer drops the name of an only one."""


@data_app.command(
    epilog="Examples:  [bold]thaw data camouflage camo[/]  |  "
    "[bold]thaw data camouflage hard --images 400 --difficulty 0.7 --size 128[/]  |  "
    "[bold]thaw search stage2_lr --data camo[/]"
)
def camouflage(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the data set.")],
    images: Annotated[
        int, typer.Option(min=4, help="Number of images; a quarter of them is for testing.")
    ] = 200,
    difficulty: Annotated[
        float,
        typer.Option(help="0: the object is plain to see; 1: it differs from nothing around it."),
    ] = 0.4,
    size: Annotated[int, typer.Option(min=32, max=4096, help="Side of the images in px.")] = 96,
    seed: Annotated[int, typer.Option(min=0, help="Decides every scene.")] = 0,
) -> None:
    """Draw textured scenes, each with an object of nearly the same texture, laid out like COD10K.

    The object's texture differs a little in phase, scale and colour.
    """
    from rich.console import Console

    from thaw.sample_set import write_sample_set

    write_sample_set(
        folder, num=images, difficulty=difficulty, size=size, seed=seed, console=Console()
    )
