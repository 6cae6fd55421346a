"""`thaw matrix`: strategy x data set x model, as one search without a sampler."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from search_spaces.study import study as find_study
from thaw.lists import run_list
from thaw.matrix_file import MatrixFile, planned_runs
from thaw.mirror import folder_of
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
    with working_in(folder_of(options.out)):
        return run_list(
            [run.item for run in wanted],
            kind=KIND,
            searched=searched,
            out=options.out,
            console=console,
            worth=worth_of(options, study),
            options=options,
        )


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of results; it ends with the process, however that ends."""
    lock = _lock(folder)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another `thaw matrix` is at work there") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def is_at_work(folder: Path) -> bool:
    """Tell whether a process holds the lock of a folder of results."""
    try:
        with _lock(folder).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")
