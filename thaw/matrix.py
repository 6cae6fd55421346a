"""`thaw matrix`: strategy x data set x model, as one search without a sampler."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from search_spaces.study import Study
from search_spaces.study import study as find_study
from thaw.lists import Item, run_list
from thaw.matrix_file import MatrixFile, planned_runs
from thaw.options import Options
from thaw.preparing import prepare
from thaw.results import Table
from thaw.worth import worth_of
from trainables.systems import system
from training.errors import UserError

KIND = "matrix"


def run_matrix(file: Path, options: Options, console: Console) -> Table:
    """Train the runs of a matrix file in their order, and return their table.

    The same command again goes on where it was cut off, also after a crash; runs that the file has
    got since are added. Raises `UserError` where another process works in the same folder.
    """
    matrix = MatrixFile.read(file)
    study = find_study(matrix.study)
    runs = planned_runs(matrix)
    wanted = [run for run in runs if not run.held]
    if not wanted:
        raise UserError(f"{file}: all runs are on hold")
    for spec in {str(run.item.spec.task): run.item.spec for run in wanted}.values():
        prepare(system(spec.system), spec.config())
        spec.build_task()  # what is wrong with any data, weights or names is said first
    options = replace(options, study=matrix.study, trials=len(wanted), seed=matrix.seeds[0])
    searched = {
        "study": study.name,
        "system": study.system,
        "task": matrix.task,
        "metric": study.metric,
        "mode": study.mode,
        "options": options.plain(),
        "planned": {run.item.name: run.labels for run in runs},
    }
    return run_list(
        [run.item for run in wanted],
        kind=KIND,
        searched=searched,
        out=options.out,
        console=console,
        worth=worth_of(options, study, base_lengths(study, [run.item for run in wanted])),
        options=options,
    )


def base_lengths(study: Study, items: Iterable[Item]) -> dict[str, int]:
    """Return run -> epochs of its base length, which hangs on its task."""
    return {item.name: study.sized(item.spec.config()).grace_epochs for item in items}
