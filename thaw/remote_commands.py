"""What is done from afar: `thaw submit`, `thaw fetch`. Imports nothing slow before it runs."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from thaw.arguments import check_resume

_LOST = (
    "would be lost with the job; name a URL such as s3://bucket/folder, or a folder that all nodes "
    "share, by its absolute path"
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog="Example:  [bold]thaw submit unfreeze_timing --trials 40 --out s3://bucket/first "
        "--store s3://bucket/store --address http://head:8265[/]",
    )(submit)
    app.command(epilog="Example:  [bold]thaw fetch s3://bucket/first --to results/first[/]")(fetch)


def submit(
    context: typer.Context,
    address: Annotated[str, typer.Option(help="The cluster's dashboard, http://HOST:8265.")],
    working_dir: Annotated[
        str, typer.Option(help="Folder that the job gets a copy of, at most 100 MiB.")
    ] = ".",
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not follow the job to its end.")
    ] = False,
) -> None:
    """Run `thaw search` as a job of a Ray cluster, with the options of `thaw search`.

    Prints the `ray job submit` that it stands for, follows the job, and ends with its exit code.
    Ctrl-C stops the job so that the search saves, which gives 130; again, it is left to itself.
    """
    from thaw.submit import INTERRUPTED, Follower, Submission, connect, send, use_token
    from training.errors import UserError

    arguments = tuple(context.args)
    out = _checked(arguments)
    if not Path(working_dir).is_dir():
        raise UserError(f"--working-dir {working_dir}: no such folder")
    use_token()
    submission = Submission(
        address=address,
        name=f"thaw-{time.strftime('%Y%m%d-%H%M%S')}",
        arguments=arguments,
        working_dir=working_dir,
    )
    typer.echo(submission.command())
    client = connect(address)
    send(client, submission)
    resume = shlex.join(("thaw", "submit", "--resume", out, "--address", address))
    if no_wait:
        typer.echo(f"{submission.name} is sent; ray job stop {submission.name} lets it save, then:")
        typer.echo(f"  {resume}")
        return
    code = Follower(client, submission.name, _say).follow()
    if code == INTERRUPTED:
        typer.echo(f"thaw: go on with it:  {resume}", err=True)
    raise typer.Exit(code)


def fetch(
    results: Annotated[str, typer.Argument(help="URL of the results of a search.")],
    to: Annotated[str, typer.Option(help="New folder.")],
) -> None:
    """Copy results from a URL into a folder, where every other command reads them."""
    from thaw.mirror import Mirror, is_url
    from thaw.reading import SEARCH
    from training.errors import UserError

    folder = Path(to).resolve()
    if not is_url(results):
        raise UserError(f"{results}: is no URL; name one such as s3://bucket/folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--to {to}: is not empty; name a new folder")
    Mirror(results, folder).fetch()
    if not (folder / SEARCH).exists():
        raise UserError(f"{results}: no results of a search")
    typer.echo(f"{sum(path.is_file() for path in folder.rglob('*'))} files in {to}")


def _say(text: str) -> None:
    typer.echo(text, nl=False)


def _checked(arguments: tuple[str, ...]) -> str:
    """Check the options of the search here, before anything is sent; return its folder of results.

    Raises `UserError` where results, store or storage would be lost with the job's folder.
    """
    from training.errors import UserError
    from training.hidden import hidden

    context = _parsed(arguments)
    options = context.params
    if options["address"] is not None:
        raise UserError("--address: is given once, for the dashboard")
    kept = {"--resume": options["resume"]}
    if not options["resume"]:
        kept = {"--out": options["out"], "--store": options["store"]}
        _check_storage(context)
    for option, place in kept.items():
        if place is None or not ("://" in place or Path(place).is_absolute()):
            raise UserError(f"{option} {place or 'is not given'}: {_LOST}")
        if option != "--store" and hidden(place) != place:
            raise UserError(
                f"{option} {hidden(place)}: its URL holds a secret, which the job's command would "
                "show; give credentials by the environment of the head node"
            )
    return str(options["resume"] or options["out"])


def _check_storage(context: typer.Context) -> None:
    """Raise `UserError` for a storage that the job would not find, or that would be lost with it.

    One from the environment may hold a password, which a job's command must not.
    """
    from thaw.sqlite_urls import absolute_sqlite
    from training.errors import UserError

    storage, source = context.params["storage"], context.get_parameter_source("storage")
    if storage is not None and source and source.name == "ENVIRONMENT":
        raise UserError(
            "THAW_STORAGE: is not passed on to the job; give it by --storage, or, where it holds a "
            "password, set it on the head node and unset it here"
        )
    if storage is not None and absolute_sqlite(storage) != storage:
        raise UserError(f"--storage {storage}: {_LOST}")


def _parsed(arguments: tuple[str, ...]) -> typer.Context:
    """Return the options as `thaw search` would read them; raise its usage errors."""
    from typer.main import get_command

    from thaw.cli import app

    search = get_command(app).commands["search"]  # type: ignore[attr-defined]
    context: typer.Context = search.make_context("submit", list(arguments))
    check_resume(context)
    return context
