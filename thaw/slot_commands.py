"""`thaw tune-slots`. Imports nothing slow before it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from thaw.arguments import Data, Preset, Sets


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "tune-slots",
        epilog="Examples:  [bold]thaw tune-slots unfreeze_timing[/]  |  "
        "[bold]thaw tune-slots unfreeze_timing --data photos --set model=resnet18 "
        "--set image_size=224 --most 8 --seconds 60[/]",
    )(tune_slots)


def tune_slots(
    study: Annotated[str, typer.Argument(help="A study (`thaw studies` lists them), or a file.")],
    most: Annotated[int, typer.Option(min=1, help="The most trials at once to try.")] = 4,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="How long each number of trials is measured.")
    ] = 20.0,
    preset: Preset = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    set_: Sets = None,
    data: Data = None,
) -> None:
    """Find how many trials at once on one device give most trials per hour.

    Trains the study's first trial, on its heaviest stage, in 1, 2, ... processes side by side, and
    names the option with which `thaw search` does the same. Without Ray; nothing is kept.
    """
    from thaw.console import PlainConsole
    from thaw.heaviest import first_trial
    from thaw.side_by_side import NoMemory
    from thaw.tune_slots import limit, tune
    from thaw.tune_slots_view import View, show
    from training.errors import UserError

    sets = [*(set_ or []), *([] if preset is None else [f"preset={preset}"])]
    trial = first_trial(study, sets, data)
    try:
        if json_:
            typer.echo(tune(trial, study=study, most=most, seconds=seconds).json())
            return
        console = PlainConsole()
        title = f"{study}: stage {trial.stage} on {trial.work.settings.place.device}"
        with View(console, title=title, most=limit(most)[0], seconds=seconds) as view:
            found = tune(
                trial,
                study=study,
                most=most,
                seconds=seconds,
                starting=view.starting,
                measured=view.measured,
            )
    except NoMemory as error:
        raise UserError(f"tune-slots: not even one trial fits ({error})") from None
    options = [word for pair in sets for word in ("--set", pair)]
    show(found, (study, *options, *(() if data is None else ("--data", data))), console)
