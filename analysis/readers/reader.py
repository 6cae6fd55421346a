"""What a reader is: a function from a file to rows, and the rule that recognises its files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from analysis.readers.head import Head

Parameter = str | float | int | bool


class Row(NamedTuple):
    """What a log says at one step."""

    step: float
    values: Mapping[str, float]
    """Metric -> value; a metric that was not measured is left out, a NaN was measured."""
    epoch: float = math.nan
    wall_s: float = math.nan
    """Seconds since the start of the run, or since 1970: whoever joins the files tells by size."""
    run: str = ""
    """Name of the run within the file, for files that hold several."""


@dataclass
class LogFile:
    """A file while it is read: where it lies, and what its reader found besides rows."""

    path: Path
    name: PurePosixPath
    """Below the folder that is read, as it is shown."""
    num_broken: int = 0
    first_broken: int = 0
    """Number of the first broken line, from 1."""
    num_unmeasured: int = 0
    """Values of -1 that stand for "not measured", left out."""
    problem: str = ""
    """Why a file of a known format cannot be used, in words."""
    status: str = ""
    params: dict[str, Parameter] = field(default_factory=dict)
    stages: list[tuple[str, int]] = field(default_factory=list)
    """(stage, its epochs) in their order, where the log names the stage of each epoch."""
    beside: set[PurePosixPath] = field(default_factory=set)
    """Names of other files that the reader made use of."""

    def broken(self, line: int, num: int = 1) -> None:
        """Count `num` lines from `line` on that could not be read."""
        self.first_broken = self.first_broken or line
        self.num_broken += num


@dataclass(frozen=True)
class Reader:
    """One format."""

    kind: str
    fits: Callable[[Head], bool]
    """Tells from its beginning, never from its name, whether a file has this format."""
    read: Callable[[LogFile], Iterator[Row]]
    """Yields rows in the order of the file, in bounded memory; counts broken lines."""
    family: str = "table"
    """Files of one family in one folder may be parts of one run."""
