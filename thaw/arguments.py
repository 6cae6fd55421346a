"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

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
