"""How every benchmark ends: a table for people, and one JSON object as the last line."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

_COMPARE = {">=": operator.ge, "<=": operator.le}


def report(
    name: str, figures: Mapping[str, float], targets: Mapping[str, tuple[str, float]]
) -> None:
    """Print `figures`; `targets` is figure -> (">=" or "<=", bound).

    A target whose figure is not there is not met.
    """
    table = Table("figure", "value", "target", title=name, title_justify="left")
    met = targets.keys() <= figures.keys()
    for figure, value in figures.items():
        goal = ""
        if figure in targets:
            sign, bound = targets[figure]
            reached = _COMPARE[sign](value, bound)
            met = met and reached
            goal = f"{sign} {bound:g}: {'met' if reached else 'MISSED'}"
        table.add_row(figure, f"{value:.4g}", goal)
    Console().print(table)
    rounded = {figure: round(value, 6) for figure, value in figures.items()}
    goals = {figure: f"{sign} {bound:g}" for figure, (sign, bound) in targets.items()}
    print(json.dumps({"benchmark": name, "figures": rounded, "targets": goals, "met": met}))
