"""Logs of a few values, written down by hand."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.diminishing.options import Options
from analysis.diminishing.tables import Tables, compute
from analysis.logs import Logs

Points = Sequence[tuple[float, float]]
OPTIONS = Options(phases=(10, 20, 30), draws=50)
LINE: Points = [(5, 1.0), (10, 2.0), (15, 3.0), (20, 4.0), (25, 4.5), (30, 5.0)]


def logs_of(
    runs: Mapping[str, Points], metric: str = "val_score", **columns: Mapping[str, str]
) -> Logs:
    """Logs of one metric; `columns` are columns of the table of runs, by run."""
    rows = [
        (run, float(step), np.nan, np.nan, metric, float(value))
        for run, points in runs.items()
        for step, value in points
    ]
    names = ["run", "step", "epoch", "wall_s", "metric", "value"]
    table = pd.DataFrame({"status": ""}, index=pd.Index(list(runs), dtype=str))
    for column, values in columns.items():
        table[column.replace("label_", "label:").replace("param_", "param:")] = pd.Series(values)
    return Logs(pd.DataFrame(rows, columns=names), table, (), ())


def tables_of(runs: Mapping[str, Points], options: Options = OPTIONS, **columns: object) -> Tables:
    return compute(logs_of(runs, **columns), options)  # type: ignore[arg-type]


def up_to(step: float) -> Points:
    return [(at, value) for at, value in LINE if at <= step]


def moved(points: Points, by: float) -> Points:
    return [(step, value + by * step) for step, value in points]
