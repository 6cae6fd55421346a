"""TensorBoard's event files: what TensorBoard itself reads is what is read here."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import metadata, plugin_data_pb2
from tensorboard.util.tensor_util import make_tensor_proto

from analysis.logs import read_logs
from tests.analysis.samples import Curve, curves, read, records, scalar

VERSION = Event(wall_time=1.7e9, file_version="brain.Event:2")
TAGS = st.sampled_from(["loss", "val/acc", "lr-Adam"])
FLOATS = st.floats(-1e6, 1e6, width=32)


def tensor(step: int, tag: str, value: float, plugin: str = "scalars") -> Event:
    """Return an event as TensorFlow 2 writes it: a tensor of a plugin."""
    data = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin))
    proto = make_tensor_proto(np.float32(value))
    return Event(
        step=step,
        wall_time=1.7e9 + step,
        summary=Summary(value=[Summary.Value(tag=tag, tensor=proto, metadata=data)]),
    )


def hparams(tag: str, data: plugin_data_pb2.HParamsPluginData) -> Event:
    value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data))
    return Event(wall_time=1.7e9, summary=Summary(value=[value]))


def by_tensorboard(path: Path) -> dict[str, Curve]:
    found = EventAccumulator(str(path), {"scalars": 0, "tensors": 0}).Reload()
    scalars = {t: [(e.step, e.value) for e in found.Scalars(t)] for t in found.Tags()["scalars"]}
    tensors = {
        tag: [(e.step, e.tensor_proto.float_val[0]) for e in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }
    return {tag: sorted(curve) for tag, curve in (scalars | tensors).items()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(points=st.dictionaries(st.tuples(st.integers(0, 10**6), TAGS), FLOATS, min_size=1))
@pytest.mark.parametrize("style", [scalar, tensor])
def test_scalars_are_those_that_tensorboard_reads(
    tmp_path: Path, points: dict[tuple[int, str], float], style: type
) -> None:
    events = [style(step, tag, value) for (step, tag), value in sorted(points.items())]
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(records(VERSION, *events))
    assert curves(read_logs([tmp_path])) == by_tensorboard(path)


def test_the_plugin_of_a_tag_is_named_once(tmp_path: Path) -> None:
    later = tensor(2, "acc", 0.75)
    later.summary.value[0].ClearField("metadata")
    logs = read(tmp_path, {"events": records(VERSION, tensor(1, "acc", 0.5), later)})
    assert curves(logs) == {"acc": [(1, 0.5), (2, 0.75)]}


def test_tensors_of_other_plugins_are_no_scalars(tmp_path: Path) -> None:
    event = tensor(1, "text", 0.5, plugin="text")
    logs = read(tmp_path, {"events": records(VERSION, event, scalar(1, "acc", 0.5))})
    assert curves(logs) == {"acc": [(1, 0.5)]}


@pytest.mark.parametrize(("code", "status"), [(1, "finished"), (2, "failed"), (3, "running")])
def test_hparams_are_parameters_and_the_status(tmp_path: Path, code: int, status: str) -> None:
    start = plugin_data_pb2.SessionStartInfo()
    start.hparams["lr"].number_value = 0.5
    start.hparams["name"].string_value = "x"
    start.hparams["ema"].bool_value = True
    end = plugin_data_pb2.SessionEndInfo(status=code)
    data = plugin_data_pb2.HParamsPluginData
    events = [
        hparams(metadata.SESSION_START_INFO_TAG, data(session_start_info=start)),
        hparams(metadata.SESSION_END_INFO_TAG, data(session_end_info=end)),
        scalar(1, "acc", 0.5),
    ]
    runs = read(tmp_path, {"events": records(VERSION, *events)}).runs
    params = {name: runs[f"param:{name}"].item() for name in ("lr", "name", "ema")}
    assert params == {"lr": 0.5, "name": "x", "ema": True}
    assert runs["status"].item() == status


def test_what_tune_writes_for_itself_is_no_metric(tmp_path: Path) -> None:
    tags = ["ray/tune/val_acc", "ray/tune/time_this_iter_s", "ray/tune/training_iteration"]
    logs = read(tmp_path, {"events": records(VERSION, *(scalar(1, tag, 0.5) for tag in tags))})
    assert list(curves(logs)) == ["val_acc"]


def test_a_damaged_length_ends_the_file_there(tmp_path: Path) -> None:
    first, rest = records(VERSION, scalar(1, "acc", 0.5)), records(scalar(2, "acc", 0.75))
    damaged = struct.pack("<Q", 2**60) + rest[8:]
    logs = read(tmp_path, {"events": first + damaged + rest})
    assert curves(logs) == {"acc": [(1, 0.5)]}
    assert logs.runs["broken_lines"].item() == 1


def test_events_need_no_telling_name(tmp_path: Path) -> None:
    assert list(read(tmp_path, {"a.csv": records(scalar(1, "acc", 1.0))}).runs["kind"]) == [
        "tensorboard"
    ]
