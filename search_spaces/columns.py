"""The columns that the table of a search has besides its dimensions."""

from __future__ import annotations

from collections.abc import Iterable

from training.errors import UserError

_COLUMNS = (
    "trial",
    "epochs",
    "segments_trained",
    "segments_reused",
    "device_s",
    "cost_s",
    "status",
    "ended",
    "decisions",
    "best_key",
    "folder",
)


def check_columns(names: Iterable[str], metric: str, what: str) -> None:
    """Raise `UserError` where one of `names`, which are each a `what`, is such a column.

    Its values would be lost in a table that is ranked by `metric`.
    """
    taken = (*_COLUMNS, f"best_{metric}", f"last_{metric}")
    for name in names:
        if name in taken:
            raise UserError(
                f"{what} {name}: is a column of trials.csv, as are "
                f"{', '.join(other for other in taken if other != name)}; choose another name"
            )
