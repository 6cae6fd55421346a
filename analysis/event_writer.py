"""TensorBoard's event files, written: scalars, images, HParams; to the byte the same each time."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from tensorboard.compat.proto.event_pb2 import Event, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from analysis.crc32c import masked_crcs
from analysis.readers.events import WRITER
from analysis.readers.reader import Parameter
from analysis.readers.records import HEADER

FILE_NAME = "events.out.tfevents.0.thaw"
_STATUS = {"finished": 1, "failed": 2, "diverged": 2, "running": 3}
_HELD = 2**12
"""Events that are written at once: their checksums are computed together."""


class EventWriter:
    """Writes the event file of one run; use it in a `with` statement."""

    def __init__(self, folder: Path, name: str = FILE_NAME) -> None:
        """Make `folder` and begin its file, over one that was written before."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / name).open("wb")
        self._held: list[bytes] = []
        self._write(
            Event(file_version="brain.Event:2", source_metadata=SourceMetadata(writer=WRITER))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            self._flush()

    def scalars(self, step: int, wall_s: float, values: Iterable[tuple[str, float]]) -> None:
        """Write values at a step."""
        summary = Summary(
            value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values]
        )
        self._write(Event(step=step, wall_time=wall_s, summary=summary))

    def image(
        self, step: int, wall_s: float, tag: str, png: bytes, width: int, height: int
    ) -> None:
        """Write a picture at a step; its sides are in px."""
        found = Summary.Image(encoded_image_string=png, width=width, height=height)
        summary = Summary(value=[Summary.Value(tag=tag, image=found)])
        self._write(Event(step=step, wall_time=wall_s, summary=summary))

    def experiment(
        self,
        params: Mapping[str, type],
        metrics: Iterable[str],
        choices: Mapping[str, Sequence[str]],
    ) -> None:
        """Write which hyperparameters and metrics the HParams page shows.

        `choices` are the values of those that are text and have few: the page offers them to filter
        runs by.
        """
        kinds: dict[type, int] = {bool: api_pb2.DATA_TYPE_BOOL, float: api_pb2.DATA_TYPE_FLOAT64}
        infos = [
            api_pb2.HParamInfo(name=name, type=kinds.get(kind, api_pb2.DATA_TYPE_STRING))
            for name, kind in params.items()
        ]
        for info in infos:
            if info.name in choices:
                info.domain_discrete.extend(choices[info.name])
        found = api_pb2.Experiment(
            hparam_infos=infos,
            metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics],
        )
        self._hparams(metadata.EXPERIMENT_TAG, experiment=found)

    def session(self, params: Mapping[str, Parameter], status: str) -> None:
        """Write the hyperparameters of the run, and how it ended."""
        start = plugin_data_pb2.SessionStartInfo()
        for name, value in params.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, str):
                start.hparams[name].string_value = value
            else:
                start.hparams[name].number_value = value
        self._hparams(metadata.SESSION_START_INFO_TAG, session_start_info=start)
        end = plugin_data_pb2.SessionEndInfo(status=_STATUS.get(status, 0))
        self._hparams(metadata.SESSION_END_INFO_TAG, session_end_info=end)

    def _hparams(self, tag: str, **content: object) -> None:
        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
        about = metadata.create_summary_metadata(data)
        about.plugin_data.content = data.SerializeToString(deterministic=True)  # it holds a map
        value = Summary.Value(tag=tag, tensor=metadata.NULL_TENSOR, metadata=about)
        self._write(Event(summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        self._held.append(event.SerializeToString())
        if len(self._held) == _HELD:
            self._flush()

    def _flush(self) -> None:
        for data, checksum in zip(self._held, masked_crcs(self._held), strict=True):
            self._file.write(b"".join((_header(len(data)), data, struct.pack("<I", checksum))))
        self._held.clear()


@cache
def _header(num_bytes: int) -> bytes:
    """Return what stands before the data of a record."""
    (checksum,) = masked_crcs([struct.pack("<Q", num_bytes)])
    return HEADER.pack(num_bytes, checksum)
