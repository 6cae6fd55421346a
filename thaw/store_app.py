"""What looks after a store: `thaw store show`, `verify`, `prune`."""

from __future__ import annotations

from typing import Annotated

import typer

store_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Look after a store of trained segments: show, verify, prune.",
    epilog="Examples:  [bold]thaw store show results/store[/]  |  "
    "[bold]thaw store prune results/store --budget 20GB[/]",
)
StoreFolder = Annotated[str, typer.Argument(metavar="DIR", help="The store, a path or URL.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(store_app, name="store")


@store_app.command("show", epilog="Example:  [bold]thaw store show results/store[/]")
def store_show(folder: StoreFolder) -> None:
    """Say what a store holds: records, states, trees, what they cost, the biggest states."""
    from thaw.console import PlainConsole
    from thaw.store_commands import show_store

    show_store(folder, PlainConsole())


@store_app.command("verify", epilog="Example:  [bold]thaw store verify results/store --drop[/]")
def store_verify(
    folder: StoreFolder,
    drop: Annotated[bool, typer.Option("--drop", help="Delete what is damaged.")] = False,
) -> None:
    """Read every file and list the damaged ones; exit code 1 where there are any."""
    from thaw.console import PlainConsole
    from thaw.store_commands import verify_store

    if verify_store(folder, drop=drop, console=PlainConsole()):
        raise typer.Exit(1)


@store_app.command(
    "prune", epilog="Example:  [bold]thaw store prune results/store --budget 20GB --dry-run[/]"
)
def store_prune(
    folder: StoreFolder,
    budget: Annotated[str, typer.Option(help="Size to fit, such as 20GB or 512MiB.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Drop the states of least expected use until the store fits; records are always kept."""
    from thaw.console import PlainConsole
    from thaw.store_commands import prune_store

    prune_store(folder, budget=budget, dry_run=dry_run, console=PlainConsole())
