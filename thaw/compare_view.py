"""What `thaw compare` does: one TensorBoard folder for runs of any logs, and a table of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.comparison import comparison
from analysis.logs import LogError, read_logs
from analysis.metrics import choose_metric, direction
from analysis.steps import shown_step
from analysis.tensorboard import write_tensorboard

_SHOWN = 50
_PARAM = "param:"
_WIDTH = 60
"""Characters of a run's name that are never cut."""


def compare_logs(
    paths: Sequence[str],
    out: Path,
    metric: str | None,
    mode: str,
    labels: str | None,
    table: str | None,
    console: Console,
) -> None:
    """Write the folder, print the table and how to open it; raise `LogError` for bad input."""
    if mode not in ("auto", "max", "min"):
        raise LogError(f"--mode {mode!r}: allowed: auto, max, min")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise LogError(f"--out {out}: is not empty; name a new folder")
    logs = read_logs(
        [Path(path) for path in paths], labels=labels, table=Path(table) if table else None
    )
    chosen, _ = choose_metric(logs.points, metric)
    found = comparison(logs, chosen, direction(chosen, mode))
    num_runs = write_tensorboard(logs, out)
    console.print(Text(chosen, style="bold"), _shown(found), sep="\n")
    if len(found) > _SHOWN:
        console.print(f"{_SHOWN} of {len(found):,} runs are shown")
    console.print(f"\n{num_runs:,} runs in one folder; open it:")
    console.print(f"  tensorboard --logdir {shlex.quote(str(out))}", soft_wrap=True)


def _shown(found: pd.DataFrame) -> Table:
    """Return a table of the runs; their hyperparameters stand in one column."""
    params = [name for name in found.columns if str(name).startswith(_PARAM)]
    main = found.drop(columns=params)
    table = Table(box=None, pad_edge=False)
    longest = max(map(len, map(str, found.index[:_SHOWN])))
    table.add_column("run", min_width=min(longest, _WIDTH))
    for name, kind in main.dtypes.items():
        is_number = pd.api.types.is_numeric_dtype(kind)
        table.add_column(Text(str(name)), justify="right" if is_number else "left")
    if params:
        table.add_column("parameters", overflow="fold")
    for (index, run), (_, own) in zip(main.iterrows(), found[params].iterrows(), strict=True):
        if len(table.rows) == _SHOWN:
            break
        cells = [str(index), *(_text(str(name), value) for name, value in run.items())]
        table.add_row(*map(Text, [*cells, *([_listed(own)] if params else [])]))
    return table


def _listed(params: pd.Series[Any]) -> str:
    """Return the hyperparameters that a run has, as name=value."""
    known = ((str(name).removeprefix(_PARAM), value) for name, value in params.items())
    return "  ".join(f"{name}={_text(name, v)}" for name, v in known if not pd.isna(v))


def _text(name: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if name.endswith("_step"):
        return shown_step(float(value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)
