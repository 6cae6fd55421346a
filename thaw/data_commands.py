"""What makes data: `thaw data camouflage|faces|streets`. Imports nothing slow before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Make sample data sets, in the layout of the real ones.",
    epilog="Examples:  [bold]thaw data camouflage camo --images 200 --difficulty 0.4[/]  |  "
    "[bold]thaw data faces people --identities 100 --images 10[/]",
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(data_app, name="data")


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
    from thaw.console import PlainConsole
    from thaw.sample_set import write_sample_set

    write_sample_set(
        folder, num=images, difficulty=difficulty, size=size, seed=seed, console=PlainConsole()
    )


@data_app.command(
    epilog="Examples:  [bold]thaw data faces people[/]  |  "
    "[bold]thaw data faces crowd --identities 300 --images 20 --seed 1[/]  |  "
    "[bold]thaw search cyclic_lambda --data people[/]"
)
def faces(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the data set.")],
    identities: Annotated[
        int,
        typer.Option(min=4, max=10_000, help="Number of people; a third is for testing."),
    ] = 72,
    images: Annotated[int, typer.Option(min=2, max=1000, help="Images of each.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Decides every face.")] = 0,
) -> None:
    """Draw faces of 112 px, a folder for each identity under train and test, as VGGFace2 has them.

    An identity fixes geometry and colours; pose, light, expression and noise vary. Nobody is in
    both train and test.
    """
    from thaw.console import PlainConsole
    from thaw.face_set import write_faces

    write_faces(
        folder, num_identities=identities, num_images=images, seed=seed, console=PlainConsole()
    )


@data_app.command(
    epilog="Examples:  [bold]thaw data streets city[/]  |  "
    "[bold]thaw data streets coast --adverse rain,night --images 200 --seed 1[/]  |  "
    "[bold]thaw search training_length --data city --set strategy=gen_real[/]"
)
def streets(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the data set.")],
    images: Annotated[
        int, typer.Option(min=8, help="Number of images; a quarter of them is for validation.")
    ] = 128,
    adverse: Annotated[
        str, typer.Option(help="Adverse domains of the validation images: fog, rain, night.")
    ] = "fog,rain,night",
    height: Annotated[int, typer.Option(min=32, max=4096, help="Height of images in px.")] = 64,
    width: Annotated[int, typer.Option(min=32, max=4096, help="Width of images in px.")] = 96,
    seed: Annotated[int, typer.Option(min=0, help="Decides every scene.")] = 0,
) -> None:
    """Draw street scenes with labels, clear ones to train on, clear and adverse ones to validate.

    Beside them lie three strategies, each with a variant of every training image: gen_real is as
    good as the adverse domains themselves, cut_mix pastes scenes together, poor spoils them.
    """
    from thaw.console import PlainConsole
    from thaw.street_set import write_streets

    write_streets(
        folder, num=images, weather=adverse, size=(height, width), seed=seed, console=PlainConsole()
    )
