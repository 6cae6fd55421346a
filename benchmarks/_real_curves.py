"""Learning curves of held-back data in a folder of logs, in points, by data set and metric."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.curves import Curve, read_curves
from analysis.logs import read_logs

_BOUNDED = re.compile(
    r"(^|[/_ ])(m?iou|[ma]?acc(uracy)?(_top-[15])?|acc[15]|accuracy/top[15]|map(_?50)?(-95)?"
    r"|ap( \.5)?|ar|pck|auc|nme|dice|f1|precision|recall|ssim|[wc]?er|error)(\(b\))?$",
    re.IGNORECASE,
)
_LESS_IS_BETTER = re.compile(r"(^|[/_ ])([wc]?er|nme|error|loss)$", re.IGNORECASE)
_LEFT_OUT = re.compile(r"(^|[/_ ])train([/_ ]|$)|hendryckstest", re.IGNORECASE)
"""Training data; and the 57 parts of one test, of about 100 questions each, at chance level."""
_LEAST_POINTS = 8

Sets = dict[str, list[Curve]]


def real_curves(folder: Path) -> tuple[Sets, Sets]:
    """Return curves of bounded metrics, in points, and losses as they are, by data set and metric.

    Names are `data set: metric`. Where there are validation and test data, the former. A data set
    is a folder at the top, or a file that holds several runs. Curves that are there twice are one.
    """
    logs = read_logs([folder])
    bounded: Sets = {}
    losses: Sets = {}
    for metric in _metrics(map(str, logs.points["metric"].unique())):
        less = bool(_LESS_IS_BETTER.search(metric))
        sets = losses if metric == "loss" else bounded
        for curve in read_curves(logs.points, logs.runs, metric, maximize=not less):
            if len(curve) >= _LEAST_POINTS and np.ptp(curve.values) > 0:
                found = sets.setdefault(f"{_data_set(logs.runs, curve.run)}: {metric}", [])
                found.append(curve if metric == "loss" else _in_points(curve))
    return _different(bounded), _different(losses)


def _metrics(names: Iterator[str]) -> Iterator[str]:
    known = {name for name in names if not _LEFT_OUT.search(name)}
    for name in sorted(known):
        instead = {name.replace("test", other, 1) for other in ("val", "validation")} - {name}
        if name == "loss" or (_BOUNDED.search(name) and not instead & known):
            yield name


def _different(sets: Sets) -> Sets:
    return {
        name: list({(c.steps.tobytes(), c.values.tobytes()): c for c in curves}.values())
        for name, curves in sets.items()
    }


def _in_points(curve: Curve) -> Curve:
    is_fraction = bool(np.max(np.abs(curve.values)) <= 1)
    return replace(curve, values=curve.values * 100) if is_fraction else curve


def _data_set(runs: pd.DataFrame, run: str) -> str:
    files = str(runs.loc[run, "files"])
    shared = int((runs["files"] == files).sum()) > 1
    return files.split(";")[0] if shared else files.split("/")[0]
