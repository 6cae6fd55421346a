"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

_WITH_RESUME = ("resume", "address")

Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A field of the task (model=resnet18) or a dimension pinned to one value "
        "(head_lr=0.002); see `thaw studies`. May be repeated.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Sizes and lengths of the system: short for --set preset."),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="Folder with the data, laid out as the README says, or the page of the system in "
        "docs; default: embedded data."
    ),
]
StoreOption = Annotated[
    str, typer.Option(help="Store of trained segments, a path or URL; shared by all searches.")
]
Seed = Annotated[int, typer.Option(min=0, help="Decides weights, order, augmentation, sampler.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"thaw {version('thaw')}")
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version."),
]
WorkerLabels = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Train on nodes with this label only, such as ray.io/accelerator-type=H100. May be "
        "repeated.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="cuda|cpu",
        help="What workers compute on; default: cuda where a trial has GPUs, else cpu.",
    ),
]
HangAfter = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=1,
        help="A worker without a step for so long hangs: it is killed, and its segment begins "
        "again elsewhere.",
    ),
]


def check_resume(context: typer.Context) -> None:
    """Raise `UserError` unless a search is named or gone on with, as it began."""
    from training.errors import UserError

    if (context.params["study"] is None) == (context.params["resume"] is None):
        raise UserError(f"{context.info_name}: name a study, or results with --resume; not both")
    if context.params["study"] is not None:
        return
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        if source and source.name == "COMMANDLINE" and option.name not in _WITH_RESUME:
            raise UserError(
                f"{option.opts[0]}: cannot be changed by --resume, which goes on with the options "
                "that the search began with; allowed beside it: --address"
            )
