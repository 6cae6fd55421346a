"""The command line: thin commands that import what they need when they are called."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from thaw.analysis_commands import add_to as add_analysis
from thaw.arguments import (
    Data,
    Device,
    HangAfter,
    Preset,
    Seed,
    Sets,
    StoreOption,
    VersionOption,
    WorkerLabels,
    check_resume,
)
from thaw.check_commands import add_to as add_checks
from thaw.data_commands import add_to as add_data
from thaw.each import add_to as add_each
from thaw.matrix_commands import HoursPerPoint
from thaw.matrix_commands import add_to as add_matrix
from thaw.remote_commands import add_to as add_remote
from thaw.slot_commands import add_to as add_slots
from thaw.store_app import add_to as add_store
from thaw.transfer_commands import EpochsOption, RecipeOption, check_app
from thaw.transfer_commands import add_to as add_transfer

app = typer.Typer(
    name="thaw",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search fine-tuning schedules: when to unfreeze, at which rates, for how long.\n\n"
    "No training segment is ever trained twice: trials that begin alike share that beginning.",
    epilog="Examples:  [bold]thaw studies[/]  |  [bold]thaw search unfreeze_timing[/]  |  "
    "[bold]thaw best results/RUN[/]",
)

_BAD_INPUT = 2
_INTERRUPTED = 130


@app.callback()
def top(version: VersionOption = False) -> None:
    """Take the options that belong to no command; the text of the help is above."""


@app.command(
    epilog="Examples:  [bold]thaw search unfreeze_timing --trials 40[/]  |  "
    "[bold]thaw search unfreeze_timing --data photos --set model=resnet18 "
    "--set image_size=224 --set weights=timm[/]  |  "
    "[bold]thaw search --resume results/RUN[/]"
)
def search(
    context: typer.Context,
    study: Annotated[
        str | None, typer.Argument(help="A study (`thaw studies` lists them), or a file with one.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Number of trials; default: 24, or the whole grid.")
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        str | None, typer.Option(help="New folder, a path or URL; default results/STUDY-TIME.")
    ] = None,
    store: StoreOption = "results/store",
    resume: Annotated[
        str | None,
        typer.Option(metavar="RESULTS", help="Go on with this search as it began; no study."),
    ] = None,
    scheduler: Annotated[
        str,
        typer.Option(help="Who stops trials: asha, asha-promote, hyperband, median, pbt, none."),
    ] = "asha",
    rung_by: Annotated[
        str | None,
        typer.Option(
            help="What it compares trials at: the same share of each one's schedule (progress) or "
            "last stage (last_stage), epochs, or device-seconds (cost); default: the study's."
        ),
    ] = None,
    sampler: Annotated[
        str, typer.Option(help="Who suggests: tpe, random, gp, cmaes, nsga2, grid.")
    ] = "tpe",
    pareto: Annotated[
        bool,
        typer.Option("--pareto", help="Search the metric against device-seconds: a Pareto table."),
    ] = False,
    sampler_set: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the sampler. May be repeated."),
    ] = None,
    store_budget: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Drop states so that the store fits, such as 20GB."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(envvar="THAW_STORAGE", help="Optuna storage; default: SQLite in the folder."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster (auto, host:port); default: start Ray here.")
    ] = None,
    workers_per_trial: Annotated[int, typer.Option(min=1, help="Training processes a trial.")] = 1,
    cpus_per_worker: Annotated[float, typer.Option(min=0.1, help="CPUs a process.")] = 1,
    gpus_per_trial: Annotated[
        float | None, typer.Option(min=0, help="GPUs a trial; default: one a worker, if any.")
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, help="Trials at once; default: what the cluster holds.")
    ] = None,
    fuse: Annotated[
        int,
        typer.Option(min=1, help="Heads to train in one pass over the backbone they share."),
    ] = 1,
    worker_label: WorkerLabels = None,
    device: Device = None,
    hang_after: HangAfter = 600.0,
    hours_per_point: HoursPerPoint = None,
    preset: Preset = None,
    set_: Sets = None,
    data: Data = None,
) -> None:
    """Search a study: many trials, the best schedule at the end."""
    from search_spaces.study import study as find_study
    from thaw.overrides import read_labels, read_pairs, split_overrides

    check_resume(context)
    found = task = pinned = None
    if study is not None:  # before Ray is imported: a wrong name is told at once
        found = find_study(study)
        sets = [*(set_ or []), *_preset(preset)]
        task, pinned = split_overrides(found.system, found.dimensions, sets, data)
    from thaw.ending import end
    from thaw.options import Options, default_folder, default_trials
    from thaw.resume import resumed_search
    from thaw.search import search as run
    from thaw.view import make_console, pareto_table

    if resume is not None:
        found, task, pinned, options = resumed_search(resume, address)
    else:
        assert study is not None and found is not None
        options = Options(
            study=study,
            trials=trials or default_trials(found, task or {}, pinned or {}, sampler),
            seed=seed,
            out=out or default_folder(found),
            store=store,
            store_budget=store_budget,
            scheduler=scheduler,
            rung_by=rung_by or found.rung_by,
            sampler=sampler,
            sampler_options=read_pairs("--sampler-set", sampler_set or []),
            pareto=pareto,
            storage=storage,
            address=address,
            workers_per_trial=workers_per_trial,
            cpus_per_worker=cpus_per_worker,
            gpus_per_trial=gpus_per_trial,
            max_concurrent=max_concurrent,
            fuse=fuse,
            worker_labels=read_labels(worker_label),
            hang_after_s=hang_after,
            device=device,
            hours_per_point=hours_per_point,
        )
    console = make_console()
    table = run(found, task or {}, pinned or {}, options, console)
    if options.pareto:
        console.print(pareto_table(table))
    end(table, options.out, f"thaw search --resume {quote(options.out)}")


@app.command(
    epilog="Examples:  [bold]thaw train unfreeze_timing[/]  |  "
    "[bold]thaw train unfreeze_timing --recipe fastai[/]  |  "
    "[bold]thaw train best/schedule.yaml --store results/store[/]"
)
def train(
    what: Annotated[
        str, typer.Argument(help="A study (its baseline schedule is trained) or a schedule.yaml.")
    ],
    recipe: RecipeOption = None,
    epochs: EpochsOption = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Overrides the schedule's own seed.")
    ] = None,
    store: StoreOption = "results/store",
    out: Annotated[
        str | None, typer.Option(help="Folder for schedule.yaml and model.pt; default: none.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of torch.")] = 1,
    preset: Preset = None,
    set_: Sets = None,
    data: Data = None,
) -> None:
    """Train one schedule here, without a search and without Ray; finished segments are reused."""
    from thaw.console import PlainConsole
    from thaw.train import spec_of, train_spec

    spec = spec_of(what, [*(set_ or []), *_preset(preset)], data, seed, recipe, epochs)
    train_spec(spec, store_url=store, out=out, num_threads=threads, console=PlainConsole())


@app.command(epilog="Example:  [bold]thaw best results/unfreeze_timing-20260101-120000[/]")
def best(
    results: Annotated[str, typer.Argument(help="Folder of a search's results.")],
    out: Annotated[
        str | None, typer.Option(help="Folder to write to; default RESULTS/best.")
    ] = None,
) -> None:
    """Write the best schedule as YAML and its best checkpoint as a plain torch file."""
    from thaw.best import write_best
    from thaw.console import PlainConsole

    write_best(Path(results), Path(out) if out else None, PlainConsole())


@app.command(
    epilog="Examples:  [bold]thaw extend results/RUN --trials best:3 --epochs 40[/]  |  "
    "[bold]thaw extend results/RUN --trials 0007,0011 --epochs 40 --lr 0.0001[/]"
)
def extend(
    results: Annotated[str, typer.Argument(help="Folder of a search's results.")],
    epochs: Annotated[
        int, typer.Option(min=1, help="Epochs in all, as the table of results counts them.")
    ],
    trials: Annotated[str, typer.Option(help="Which: best:N, or names such as 0007,0011.")] = (
        "best:1"
    ),
    lr: Annotated[
        float | None,
        typer.Option(help="LR of the added epochs; default: as the schedule's own goes on."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="New folder; default RESULTS-extendEPOCHS.")
    ] = None,
) -> None:
    """Train trials of a search for longer, for the price of the difference.

    Where the LR does not hang on the length, the last stage goes on as if it had been longer. Where
    it does, the curve runs once more, or from --lr; schedules in iterations stay where it ended.
    """
    from thaw.ending import end
    from thaw.extend import extend as run
    from thaw.view import make_console
    from training.errors import UserError

    if lr is not None and not 0 < lr < float("inf"):
        raise UserError(f"--lr {lr:g}: must be greater than 0 and finite")
    folder = out or f"{results.rstrip('/')}-extend{epochs}"
    console = make_console()
    table = run(Path(results), trials, num_epochs=epochs, lr=lr, out=folder, console=console)
    end(table, folder, "thaw extend")


@app.command(
    epilog="Examples:  [bold]thaw confirm results/RUN --top 3 --seeds 5[/]  |  "
    "[bold]thaw confirm results/RUN --recipes fastai,playbook[/]"
)
def confirm(
    results: Annotated[str, typer.Argument(help="Folder of a search's results.")],
    top: Annotated[int, typer.Option(min=1, help="How many of the best schedules.")] = 2,
    seeds: Annotated[int, typer.Option(min=2, help="New seeds for each of them.")] = 5,
    recipes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Known recipes to compare with as well, or all."),
    ] = None,
    out: Annotated[str | None, typer.Option(help="New folder; default RESULTS-confirm.")] = None,
) -> None:
    """Train the best schedules and the baseline with more seeds; test whether the best is better.

    The test is a paired t test over seeds, one-sided, Holm-corrected; the search's own seed is left
    out.
    """
    from thaw.confirm import confirm as run
    from thaw.ending import end
    from thaw.view import make_console

    folder = out or f"{results.rstrip('/')}-confirm"
    console = make_console()
    table = run(
        Path(results),
        top=top,
        num_seeds=seeds,
        out=folder,
        console=console,
        recipes=recipes.split(",") if recipes else (),
    )
    end(table, folder, "thaw confirm")


@app.command(
    epilog="Examples:  [bold]thaw plan unfreeze_timing --trials 64[/]  |  "
    "[bold]thaw plan lr_sequence --hours-per-epoch 0.2 --json[/]"
)
def plan(
    study: Annotated[str, typer.Argument(help="A study (`thaw studies` lists them), or a file.")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Number of trials; default: the whole grid, or 24.")
    ] = None,
    seed: Seed = 0,
    store: StoreOption = "results/store",
    hours_per_epoch: Annotated[
        str | None,
        typer.Option(
            metavar="HOURS",
            help="Device-hours of a segment, 0.2 or dsr=0.1,edgeface=0.09; default: what the "
            "study's source says, or the store's records.",
        ),
    ] = None,
    preset: Preset = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    set_: Sets = None,
    data: Data = None,
) -> None:
    """Say what a search would train and what sharing saves; train nothing."""
    from thaw.console import PlainConsole
    from thaw.plan import plan_search
    from thaw.plan_view import show_plan

    sets = [*(set_ or []), *_preset(preset)]
    made = plan_search(study, sets, data, trials, seed, store, hours_per_epoch)
    if json_:
        typer.echo(made.json())
    else:
        show_plan(made, PlainConsole())


@app.command(epilog="Example:  [bold]thaw studies[/]")
def studies() -> None:
    """List what can be searched: each dimension with its range and unit."""
    from thaw.console import PlainConsole
    from thaw.listing import list_studies

    list_studies(PlainConsole())


for add_to in (
    add_analysis,
    add_store,
    add_remote,
    add_transfer,
    add_data,
    add_each,
    add_matrix,
    add_slots,
):
    add_to(app)
add_checks(check_app)


def _preset(name: str | None) -> list[str]:
    return [] if name is None else [f"preset={name}"]


def main() -> None:
    """Run a command; bad input gives one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        message = _told(error)
        if message is None:
            raise
        from thaw.console import harmless
        from training.hidden import hidden_urls

        line = harmless(hidden_urls(" ".join(message.splitlines())))
        typer.echo(line and f"thaw: {line}", err=True)
        code = _BAD_INPUT
    if code == _INTERRUPTED:
        typer.echo(
            "thaw: interrupted; every finished segment is in the store: a search goes on with "
            "--resume, any other command when it is run again",
            err=True,
        )
    sys.exit(code)


def _told(error: Exception) -> str | None:
    """Return what a user must be told of bad input, or None where the error is ours.

    Named by their types' names: the classes are not imported before a command needs them.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "UsageError" in kinds:
        return error.format_message()  # type: ignore[attr-defined, no-any-return]
    return str(error) if "UserError" in kinds else None
