"""TensorBoard's event files: scalars as plain numbers and as tensors, and HParams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from analysis.readers.columns import normal
from analysis.readers.head import Head
from analysis.readers.reader import LogFile, Parameter, Reader, Row
from analysis.readers.records import begins_record, records
from analysis.readers.text import clean
from analysis.readers.tune import BOOKKEEPING, SIGN

WRITER = "thaw compare"
"""What the files that this project writes name as their writer: they are copies of other logs."""
_STATUS = {1: "finished", 2: "failed", 3: "running"}
_TUNE = "ray/tune/"
_AXES = BOOKKEEPING | {SIGN, "time_total_s", "timesteps_total", "epoch"}
"""What Tune and Lightning write beside the metrics, as scalars too."""


def _fits(head: Head) -> bool:
    return begins_record(head.data)


def _read(file: LogFile) -> Iterator[Row]:
    plugins: dict[str, str] = {}
    for number, data in records(file):
        try:
            event = Event.FromString(data)
            if event.source_metadata.writer == WRITER:
                file.problem = "written by thaw compare from other logs"
                return
            values = dict(_scalars(file, event, plugins))
        except (DecodeError, TypeError, ValueError):
            file.broken(number)
            continue
        if values:
            yield Row(float(event.step), values, wall_s=event.wall_time)


def _scalars(file: LogFile, event: Any, plugins: dict[str, str]) -> Iterator[tuple[str, float]]:
    """Yield the scalars of an event; the plugin of a tag is named at its first value only."""
    for value in event.summary.value:
        plugin = value.metadata.plugin_data.plugin_name or plugins.get(value.tag, "")
        plugins[value.tag] = plugin
        name = clean(value.tag.removeprefix(_TUNE))
        if plugin == "hparams":
            _hparams(file, value.metadata.plugin_data.content)
        elif not name or normal(name) in _AXES:
            continue
        elif value.HasField("simple_value"):
            yield name, value.simple_value
        elif value.HasField("tensor") and plugin == "scalars":
            yield name, float(make_ndarray(value.tensor).item())


def _hparams(file: LogFile, content: bytes) -> None:
    data = HParamsPluginData.FromString(content)
    for name, value in data.session_start_info.hparams.items():
        kind = value.WhichOneof("kind")
        if kind in ("number_value", "string_value", "bool_value"):
            found: Parameter = getattr(value, kind)
            file.params[clean(name)] = found
    if data.HasField("session_end_info"):
        file.status = _STATUS.get(data.session_end_info.status, file.status)


EVENTS = Reader("tensorboard", _fits, _read, family="events")
