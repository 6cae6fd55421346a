"""What is known of a trained segment; kept for ever."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

Number = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_LEFT_OUT = frozenset({"save_s", "write_s", "peak_bytes", "tables"})
_OPTIONAL = _LEFT_OUT | {"micro_batches"}


@dataclass(frozen=True, kw_only=True)
class Record:
    """Outcome of one segment."""

    key: str
    """Name of the state after the segment."""
    parent: str
    """Name of the state before it."""
    index: Number
    """Number of segments before it."""
    data: str
    """Data set on which `metrics` were measured."""
    metrics: dict[str, float]
    """Metric -> value; NaN where it has none (a diverged loss)."""
    num_steps: Number
    """Optimizer steps."""
    lr_first: float
    """LR of the first step at multiplier 1."""
    lr_last: float
    """LR of the last step at multiplier 1."""
    world_size: Number
    """Number of devices that were held."""
    train_s: Seconds
    """Seconds of training."""
    eval_s: Seconds
    """Seconds of evaluation."""
    restore_s: Seconds
    """Seconds spent on restoring the parent's state; 0 where it was live."""
    save_s: Seconds = 0.0
    """Seconds for which saving the state held everything up; 0 in records that do not know."""
    write_s: Seconds = 0.0
    """Seconds in which the state was encoded and written, most of them beside the evaluation."""
    micro_batches: Number = 0
    """Micro-batches of a step over all processes, more than the settings say where memory ran out;
    0 in records that do not know."""
    peak_bytes: Number = 0
    """Most memory that torch held on this process's CUDA device; 0 where it was not measured."""
    tables: dict[str, list[list[int]]] = field(default_factory=dict)
    """Counts and drawings besides the metrics: name -> rows of whole numbers, such as
    `val_confusion`."""

    @property
    def device_s(self) -> float:
        """Return seconds times devices held."""
        seconds = self.train_s + self.eval_s + self.restore_s + self.save_s
        return seconds * self.world_size

    def plain(self) -> dict[str, Any]:
        """Return plain data for JSON, without what is optional where there is none of it."""
        plain = asdict(self)
        return {name: plain[name] for name in plain if name not in _LEFT_OUT or plain[name]}

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> Record:
        """Build a record from plain data; raise `ValueError` where it is none.

        The fields must be its own and their values of the right type: what a store holds may have
        been written by anyone.
        """
        known = {found.name for found in fields(cls)}
        if not known - _OPTIONAL <= set(data) <= known:
            raise ValueError("these are not the fields of a record")
        return _reader().validate_python(data)


@cache
def _reader() -> TypeAdapter[Record]:
    return TypeAdapter(Record)
