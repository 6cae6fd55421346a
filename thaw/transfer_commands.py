"""What helps to fine-tune without a search: `thaw recipes`, `thaw lr-find`, `thaw check`.

Nothing that is slow is imported before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RECIPE_NAMES = (
    "playbook",
    "straight",
    "full",
    "gradual",
    "fastai",
    "lightning",
    "finetuning_scheduler",
    "progressive_unfreeze",
    "progressive_freeze",
    "progressive_scratch",
    "scratch",
    "auto",
    "auto_far",
)
"""As in `trainables.recipes.RECIPES`, which would import torch for a help text."""

RecipeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"A known recipe instead of the baseline: {', '.join(RECIPE_NAMES)}; or the path of a "
        "YAML file with a stage table. See `thaw recipes`.",
    ),
]
EpochsOption = Annotated[
    int | None, typer.Option(min=1, help="Epochs of the recipe on the target task.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A field of the task. May be repeated."),
]
Data = Annotated[
    str | None,
    typer.Option(help="Folder with train/<class>/* and val/<class>/*; default: embedded data."),
]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of torch.")]
What = Annotated[str, typer.Argument(help="A study, or a schedule.yaml.")]
SeedOption = Annotated[int | None, typer.Option(min=0, help="Overrides the schedule's own seed.")]

check_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Sanity checks: does the model learn at all?",
    epilog="Example:  [bold]thaw check overfit --data photos --set model=resnet18[/]",
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        epilog="Examples:  [bold]thaw recipes[/]  |  "
        "[bold]thaw recipes fastai --set model=resnet18 > fastai.yaml[/]"
    )(recipes)
    app.command(
        "lr-find",
        epilog="Examples:  [bold]thaw lr-find unfreeze_timing[/]  |  "
        "[bold]thaw lr-find unfreeze_timing --groups head,layer4 --data photos[/]",
    )(lr_find)
    app.add_typer(check_app, name="check")


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe as a schedule.yaml.")
    ] = None,
    epochs: EpochsOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the schedule.")] = 0,
    system: Annotated[str, typer.Option(help="Whose recipes.")] = "classifier",
    set_: Sets = None,
    data: Data = None,
) -> None:
    """List known recipes with their stages for a model, or print one as a schedule."""
    from thaw.console import PlainConsole
    from thaw.recipes import list_recipes, recipe_spec

    if name is None:
        list_recipes(system, set_ or [], data, epochs, PlainConsole())
    else:
        typer.echo(recipe_spec(system, name, set_ or [], data, seed, epochs).yaml(), nl=False)


def lr_find(
    what: What,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Layer groups that train at the LR, globs allowed, '*' for all; default: those "
            "of the stage (in a baseline the head).",
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(min=0, help="Segments of the schedule before; default: its pretraining."),
    ] = None,
    from_: Annotated[float, typer.Option("--from", min=1e-12, help="First LR.")] = 1e-7,
    to: Annotated[float, typer.Option("--to", min=1e-12, help="Last LR.")] = 10.0,
    steps: Annotated[int, typer.Option(min=20, help="Optimizer steps.")] = 100,
    recipe: RecipeOption = None,
    seed: SeedOption = None,
    store: Annotated[str, typer.Option(help="Store with the segments before.")] = "results/store",
    out: Annotated[
        str | None, typer.Option(help="Folder to write to; default results/lr-find-TIME.")
    ] = None,
    threads: Threads = 1,
    set_: Sets = None,
    data: Data = None,
) -> None:
    """Find a learning rate: train a few steps at growing LR, and see where the loss falls.

    Writes report.html with the curve, lr-find.png, report.md and the steps as a table; no weights
    are kept.
    """
    import time

    from thaw.console import PlainConsole
    from thaw.lr_find import lr_find as run
    from thaw.train import spec_of

    run(
        spec_of(what, set_ or [], data, seed, recipe),
        groups=groups.split(",") if groups else (),
        after=after,
        lowest=from_,
        highest=to,
        num_steps=steps,
        store_url=store,
        out=Path(out or f"results/lr-find-{time.strftime('%Y%m%d-%H%M%S')}"),
        num_threads=threads,
        console=PlainConsole(),
    )


@check_app.command(
    "overfit",
    epilog="Examples:  [bold]thaw check overfit[/]  |  "
    "[bold]thaw check overfit --data photos --set model=resnet18 --images 100[/]",
)
def overfit(
    what: What = "unfreeze_timing",
    images: Annotated[int, typer.Option(min=2, help="Training images to learn by heart.")] = 50,
    epochs: Annotated[int, typer.Option(min=1, help="The most epochs.")] = 100,
    lr: Annotated[float, typer.Option(min=1e-12, help="Learning rate of all layers.")] = 1e-3,
    seed: SeedOption = None,
    threads: Threads = 1,
    set_: Sets = None,
    data: Data = None,
) -> None:
    """Train on a few images until about all are right; exit code 1 where that fails.

    A model that cannot learn 50 images by heart will not learn 50,000: something is wrong with
    labels, images, LR or layers.
    """
    from thaw.console import PlainConsole
    from thaw.overfit import check_overfit
    from thaw.train import spec_of

    passed = check_overfit(
        spec_of(what, set_ or [], data, seed),
        num_images=images,
        epochs=epochs,
        lr=lr,
        num_threads=threads,
        console=PlainConsole(),
    )
    if not passed:
        raise typer.Exit(1)
