"""Options of the report on a plateau."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.options import number, option, whole


@dataclass(frozen=True)
class Options:
    """What the report looks at."""

    metric: str = option("val_iou", "Metric in [0, 1], more is better; default: val_iou.", "NAME")
    loss: str = option("val_loss", "Loss that may explode; default: val_loss.", "NAME")
    resume: int | None = option(
        None, "Last step of the run that was stuck; default: where the runs part.", "N", whole(1)
    )
    before: str | None = option(
        None, "Run that was stuck, where the others began anew from its checkpoint.", "RUN"
    )
    target: float = option(0.72, "Value to reach; default: 0.72.", "VALUE", number(0.0, 1.0))
    pace: float = option(
        1.0,
        "Epochs here for one of the monitor's rules; 0.1 for the sample preset; default: 1.",
        "X",
        number(0.001, 1000.0),
    )
    max_rows: int = option(50, "Rows of a table in the report; default: 50.", "N", whole(1))
