"""What looks at logs: `thaw report`, `thaw forecast`, `thaw compare`; for anyone's logs.

Nothing that is slow is imported before a command runs.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.options import options_of
from analysis.reports import REPORTS, Report
from analysis.steps import parse_step
from thaw.cyclic.command import add_to as add_cyclic
from thaw.plateau import PLATEAU
from thaw.unfreeze import UNFREEZE

Logs = Annotated[
    list[str],
    typer.Argument(metavar="LOGS...", help="Folders or files with logs, of any known format."),
]
Labels = Annotated[
    str | None,
    typer.Option(help="Labels by the path of a run, such as '{strategy}/{dataset}/{model}'."),
]
LabelTable = Annotated[
    str | None,
    typer.Option("--table", metavar="FILE", help="CSV with a column `run` and label columns."),
]
Metric = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Default: the validation metric of most runs."),
]
Mode = Annotated[
    str, typer.Option(help="Whether more is better: max, min, or auto (by the metric's name).")
]
report_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Turn training logs into a report: Markdown, HTML and tables.",
    epilog="Example:  [bold]thaw report diminishing-returns logs --out report[/]",
)


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line; a report in the table of reports is a command."""
    for report in (*REPORTS, UNFREEZE, PLATEAU):
        example = f"thaw report {report.name} logs --out report"
        labelled = f"{example} --labels '{{strategy}}/{{dataset}}/{{model}}'"
        epilog = f"Examples:  [bold]{example}[/]  |  [bold]{labelled}[/]"
        report_app.command(report.name, help=report.help, epilog=epilog)(_command(report))
    add_cyclic(report_app)
    app.add_typer(report_app, name="report")
    app.command(
        epilog="Examples:  [bold]thaw forecast logs --metric val_accuracy --to 320k[/]  |  "
        "[bold]thaw forecast logs --seen 0.5 --json[/]"
    )(forecast)
    app.command(epilog="Example:  [bold]thaw compare results/first results/second[/]")(compare)


def forecast(
    logs: Logs,
    metric: Metric = None,
    to: Annotated[
        str | None, typer.Option(metavar="STEP", help="Step to look ahead to, such as 320k.")
    ] = None,
    seen: Annotated[
        float | None,
        typer.Option(help="Back-test: forecast each run's last value from this share of it."),
    ] = None,
    mode: Mode = "auto",
    min_gain: Annotated[
        float, typer.Option(help="Gain whose probability is told, in the metric's unit.")
    ] = 0.0,
    devices: Annotated[
        int, typer.Option(min=1, help="Devices that a run occupies; results of thaw say it.")
    ] = 1,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object a run.")] = False,
) -> None:
    """Say where runs will be at a later step, how sure that is, and what it would gain."""
    from thaw.forecast_view import forecast_logs_of, show_forecasts
    from thaw.view import make_console

    step = None if to is None else _read("to", parse_step, to)
    with user_errors():
        made = forecast_logs_of(
            logs, metric, mode, to=step, seen=seen, min_gain=min_gain, num_devices=devices
        )
    if json_:
        for run in made.forecasts.runs:
            typer.echo(json.dumps(run.plain(), allow_nan=False))
    else:
        show_forecasts(made, make_console())


def compare(
    results: Logs,
    out: Annotated[
        str, typer.Option(help="Folder for the TensorBoard logs; must be new or empty.")
    ] = "comparison",
    metric: Metric = None,
    mode: Mode = "auto",
    labels: Labels = None,
    table: LabelTable = None,
) -> None:
    """Put runs side by side: one TensorBoard folder for all, and a table of them."""
    from thaw.compare_view import compare_logs
    from thaw.view import make_console

    with user_errors():
        compare_logs(results, Path(out), metric, mode, labels, table, make_console())


def _command(report: Report) -> Callable[..., None]:
    """Return a command whose options are the fields of the report's own options."""

    def run(logs: Logs, out: str, labels: Labels, table: LabelTable, **given: str | None) -> None:
        values = {
            option.name: _read(option.name, option.read, text)
            for option in options_of(report.options)
            if (text := given[option.name]) is not None
        }
        _write_report(report, report.options(**values), logs, out, labels, table)

    kind, default = inspect.Parameter.KEYWORD_ONLY, "report"
    out_help = typer.Option(help="Folder to write to.")
    parameters = [
        inspect.Parameter("logs", kind, annotation=Logs),
        inspect.Parameter("out", kind, default=default, annotation=Annotated[str, out_help]),
        inspect.Parameter("labels", kind, default=None, annotation=Labels),
        inspect.Parameter("table", kind, default=None, annotation=LabelTable),
    ]
    for option in options_of(report.options):
        said = typer.Option(help=option.help, metavar=option.metavar)
        parameters.append(
            inspect.Parameter(
                option.name, kind, default=None, annotation=Annotated[str | None, said]
            )
        )
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _read(name: str, read: Callable[[str], Any], text: str) -> Any:
    from training.errors import UserError

    try:
        return read(text)
    except ValueError as error:
        raise UserError(f"--{name.replace('_', '-')} {text!r}: {error}") from None


def _write_report(
    report: Report, options: Any, logs: list[str], out: str, labels: str | None, table: str | None
) -> None:
    from datetime import date

    from analysis.files import write_report
    from analysis.logs import read_logs
    from thaw.console import harmless

    with user_errors():
        found = read_logs(
            [Path(path) for path in logs], labels=labels, table=Path(table) if table else None
        )
        document = report.make(found, options, date.today())
        written = write_report(document, Path(out))
    typer.echo(harmless(document.summary))
    if found.unused:
        typer.echo(f"\n{len(found.unused)} files were not used: {out}/tables/unused.csv")
    typer.echo("\n" + "\n".join(str(path) for path in written if path.suffix != ".csv"))


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn what `analysis` says of bad input into the error that the command line shows."""
    from analysis.logs import LogError
    from training.errors import UserError

    try:
        yield
    except LogError as error:
        raise UserError(str(error)) from None
