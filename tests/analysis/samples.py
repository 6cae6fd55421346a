"""Small logs in the formats of others, and what is in them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import masked_crc32c

from analysis.logs import Logs, read_logs

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Sample:
    """A log: where its writer puts it, what is in it, and the curves that a reader finds."""

    kind: str
    path: str
    data: str | bytes
    curves: Mapping[str, Curve]

    def write(self, path: Path) -> Path:
        """Write the log as `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.data if isinstance(self.data, bytes) else self.data.encode())
        return path


def jsonl(*items: Mapping[str, Any]) -> str:
    """Return a JSON line for each object."""
    return "".join(json.dumps(item) + "\n" for item in items)


def records(*events: Event) -> bytes:
    """Return the events as TFRecords."""
    found = b""
    for data in (event.SerializeToString() for event in events):
        length = struct.pack("<Q", len(data))
        found += length + struct.pack("<I", masked_crc32c(length))
        found += data + struct.pack("<I", masked_crc32c(data))
    return found


def scalar(step: int, tag: str, value: float, wall_time: float = 1.7e9) -> Event:
    """Return an event with one plain scalar."""
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    return Event(step=step, wall_time=wall_time + step, summary=summary)


def curves(logs: Logs, run: str | None = None) -> dict[str, Curve]:
    """Return metric -> [(step, value)] of a run, or of all runs."""
    points = logs.points if run is None else logs.points[logs.points["run"] == run]
    return {
        str(metric): list(zip(found["step"], found["value"], strict=True))
        for metric, found in points.groupby("metric", observed=True)
    }


def runs(logs: Logs) -> list[str]:
    """Return the names of the runs."""
    return list(logs.runs.index)


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write `files`, by their names below `folder`; return the folder."""
    for name, data in files.items():
        Sample("", "", data, {}).write(folder / name)
    return folder


def read(folder: Path, files: Mapping[str, str | bytes], **options: Any) -> Logs:
    """Write `files` into `folder` and read them."""
    return read_logs([write(folder, files)], **options)


def mmcv(steps: Iterable[int], value: float = 0.4, every: int = 50, epoch: int = 1) -> str:
    """Return MMCV's JSON of a run by iterations: training every `every`, validation at `steps`."""
    rows: list[dict[str, Any]] = [{"env_info": "sys.platform: linux", "seed": 0}]
    for step in steps:
        train = {
            "mode": "train",
            "epoch": epoch,
            "iter": step,
            "lr": 0.01,
            "memory": 9,
            "time": 0.5,
        }
        rows.append({**train, "data_time": 0.01, "decode.loss_seg": 2.0, "loss": 100 / step})
        if step % (2 * every) == 0:
            val = {"mode": "val", "epoch": epoch, "iter": 500, "lr": 0.01}
            rows.append({**val, "mIoU": value + step / 1e6})
    return jsonl(*rows)


TUNE = [
    {
        "val_loss": 1 / step,
        "info": {"learner": {"entropy": 0.5 * step}},
        "training_iteration": step,
        "timesteps_total": None,
        "time_total_s": 2.0 * step,
        "time_this_iter_s": 2.0,
        "pid": 1,
        "date": "2026-01-01",
        "done": step == 3,
        "config": {"lr": 0.1, "model": {"depth": 3}},
    }
    for step in (1, 2, 3)
]
TUNE_CURVES = {
    "val_loss": [(1, 1.0), (2, 0.5), (3, 1 / 3)],
    "info/learner/entropy": [(1, 0.5), (2, 1.0), (3, 1.5)],
}
THAW = [
    {
        "source_val_loss": 0.5 if stage == "pretrain" else float("nan"),
        "val_loss": float("nan") if stage == "pretrain" else 1 / segment,
        "epoch": epoch,
        "progress": 50.0,
        "segment": segment,
        "stage": stage,
        "lr": 0.1,
        "reused": False,
        "device_s": 2.5,
        "key": "ab" * 32,
        "ended": "finished" if segment == 3 else "",
        "done": segment == 3,
        "training_iteration": segment,
        "time_total_s": 60.0 + segment,
        "config": {"head_lr": 0.01},
    }
    for segment, epoch, stage in ((1, 0, "pretrain"), (2, 1, "head"), (3, 2, "head"))
]
MM_TEXT = """\
2021-04-09 22:33:12,345 - mmseg - INFO - workflow: [('train', 1)], max: 200 iters
2021-04-09 22:33:22,345 - mmseg - INFO - Iter [50/200]\tlr: 1.0e-02, eta: 1 day, 7:42:09, \
time: 0.2, data_time: 0.01, memory: 5902, decode.loss_seg: 2.5, loss: 4.1
2021-04-09 22:33:32,345 - mmseg - INFO - Iter [100/200]\tlr: 1.0e-02, eta: 7:42:09, \
time: 0.2, data_time: 0.01, memory: 5902, decode.loss_seg: 1.5, loss: 3.1
2021-04-09 22:33:42,345 - mmseg - INFO - per class results:
+-------+-----+
| Class | IoU |
2021-04-09 22:33:42,345 - mmseg - INFO - Iter(val) [500]\taAcc: 0.8, mIoU: 0.4, IoU.bed : 0.3
"""
MMENGINE_TEXT = """\
2023/06/05 20:09:41 - mmengine - INFO - Epoch(train)  [1][ 10/19]  lr: 4.0e-08  eta: 15:47:13  \
time: 9.9  data_time: 9.0  memory: 7489  loss: 0.42  acc_pose: 0.007
2023/06/05 20:09:51 - mmengine - INFO - Epoch(train)  [2][ 10/19]  lr: 4.0e-08  eta: 0:47:13  \
time: 9.9  data_time: 9.0  memory: 7489  loss: 0.32  acc_pose: 0.107
2023/06/05 20:10:01 - mmengine - INFO - Epoch(val)  [2][7/7]    coco/AP: 0.05  coco/AP .5: 0.37  \
coco/AP (M): -1.000000  data_time: 1.1  time: 1.2
"""
HF = {
    "epoch": 2.0,
    "global_step": 20,
    "max_steps": 20,
    "log_history": [
        {"epoch": 1.0, "loss": 2.5, "learning_rate": 1e-4, "step": 10},
        {"epoch": 1.0, "eval_loss": 2.0, "eval_runtime": 3.5, "step": 10},
        {"epoch": 2.0, "loss": 1.5, "learning_rate": 5e-5, "step": 20},
    ],
}
LM_EVAL = {
    "results": {"sciq": {"acc": 0.5, "acc_stderr": 0.01, "alias": "sciq"}},
    "versions": {"sciq": 0},
    "config": {"model_args": "pretrained=org/pythia-410m,revision=step1000", "limit": None},
}

SAMPLES = (
    Sample(
        "thaw",
        "0000/result.json",
        jsonl(*THAW),
        {
            "source_val_loss": [(1, 0.5)],
            "val_loss": [(2, 0.5), (3, 1 / 3)],
            "lr": [(1, 0.1), (2, 0.1), (3, 0.1)],
        },
    ),
    Sample("ray tune", "trial_1/result.json", jsonl(*TUNE), TUNE_CURVES),
    Sample(
        "ray tune csv",
        "trial_1/progress.csv",
        "val_loss,training_iteration,time_total_s,date,done,config/lr\n"
        "1.0,1,2.0,2026-01-01,False,0.1\n0.5,2,4.0,2026-01-01,True,0.1\n",
        {"val_loss": [(1, 1.0), (2, 0.5)]},
    ),
    Sample(
        "openmmlab json",
        "work/20210409_223312.log.json",
        mmcv([50, 100, 150, 200]),
        {
            "lr": [(50, 0.01), (100, 0.01), (150, 0.01), (200, 0.01)],
            "mIoU": [(100, 0.4001), (200, 0.4002)],
            "train/decode.loss_seg": [(50, 2), (100, 2), (150, 2), (200, 2)],
            "train/loss": [(50, 2), (100, 1), (150, 100 / 150), (200, 0.5)],
        },
    ),
    Sample(
        "openmmlab json",
        "work/20230605_200941/vis_data/scalars.json",
        jsonl(
            {"lr": 0.02, "loss": 1.7, "time": 0.1, "epoch": 1, "iter": 69, "memory": 9, "step": 69},
            {"accuracy/top1": 43.1, "data_time": 0.09, "time": 0.12, "step": 1},
            {
                "lr": 0.02,
                "loss": 0.9,
                "time": 0.1,
                "epoch": 2,
                "iter": 138,
                "memory": 9,
                "step": 138,
            },
            {"accuracy/top1": 70.9, "data_time": 0.09, "time": 0.12, "step": 2},
        ),
        {
            "lr": [(69, 0.02), (138, 0.02)],
            "train/loss": [(69, 1.7), (138, 0.9)],
            "accuracy/top1": [(69, 43.1), (138, 70.9)],
        },
    ),
    Sample(
        "openmmlab text",
        "work/20210409_223312.log",
        MM_TEXT,
        {
            "lr": [(50, 0.01), (100, 0.01)],
            "train/loss": [(50, 4.1), (100, 3.1)],
            "train/decode.loss_seg": [(50, 2.5), (100, 1.5)],
            "mIoU": [(100, 0.4)],
            "aAcc": [(100, 0.8)],
            "IoU.bed": [(100, 0.3)],
        },
    ),
    Sample(
        "openmmlab text",
        "work/20230605_200941/20230605_200941.log",
        MMENGINE_TEXT,
        {
            "lr": [(10, 4e-8), (29, 4e-8)],
            "train/loss": [(10, 0.42), (29, 0.32)],
            "train/acc_pose": [(10, 0.007), (29, 0.107)],
            "coco/AP": [(38, 0.05)],
            "coco/AP .5": [(38, 0.37)],
        },
    ),
    Sample(
        "hugging face",
        "out/trainer_state.json",
        json.dumps(HF, indent=2),
        {
            "loss": [(10, 2.5), (20, 1.5)],
            "learning_rate": [(10, 1e-4), (20, 5e-5)],
            "eval_loss": [(10, 2.0)],
            "eval_runtime": [(10, 3.5)],
        },
    ),
    Sample(
        "lm-eval",
        "evals/410m_step1000.json",
        json.dumps(LM_EVAL, indent=1),
        {
            "sciq/acc": [(1000, 0.5)],
            "sciq/acc_stderr": [(1000, 0.01)],
        },
    ),
    Sample(
        "lightning",
        "lightning_logs/version_0/metrics.csv",
        "epoch,step,train_loss,val_acc\n0,49,2.5,\n0,99,1.5,\n0,99,,0.5\n1,199,,0.75\n",
        {"train_loss": [(49, 2.5), (99, 1.5)], "val_acc": [(99, 0.5), (199, 0.75)]},
    ),
    Sample(
        "timm",
        "output/train/r18/summary.csv",
        "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n"
        "0,6.9,6.8,0.2,0.9,0.1\n1,6.5,6.2,1.2,4.9,0.1\n",
        {
            "train_loss": [(0, 6.9), (1, 6.5)],
            "eval_loss": [(0, 6.8), (1, 6.2)],
            "eval_top1": [(0, 0.2), (1, 1.2)],
            "eval_top5": [(0, 0.9), (1, 4.9)],
            "lr": [(0, 0.1), (1, 0.1)],
        },
    ),
    Sample(
        "algoperf",
        "study_0/fastmri/trial_1/eval_measurements.csv",
        "accumulated_submission_time,global_step,total_duration,validation/ssim\n"
        "55.5,1,255.0,0.25\n135.5,340,340.0,0.66\n",
        {"validation/ssim": [(1, 0.25), (340, 0.66)]},
    ),
    Sample(
        "tidy csv",
        "points.csv",
        "step,metric,value\n1,loss,2.0\n1,acc,0.1\n2,loss,1.0\n",
        {"loss": [(1, 2.0), (2, 1.0)], "acc": [(1, 0.1)]},
    ),
    Sample(
        "csv",
        "yolo/results.csv",
        "      epoch,  train/box_loss, metrics/mAP50(B)\n"
        "          0,            1.68,             0.15\n"
        "          1,            1.26,              nan\n",
        {
            "train/box_loss": [(0, 1.68), (1, 1.26)],
            "metrics/mAP50(B)": [(0, 0.15), (1, float("nan"))],
        },
    ),
    Sample(
        "json lines",
        "deit/log.txt",
        jsonl(
            {"train_loss": 6.9, "test_acc1": 0.2, "epoch": 0},
            {"train_loss": 6.5, "test_acc1": 1.2, "epoch": 1},
        ),
        {"train_loss": [(0, 6.9), (1, 6.5)], "test_acc1": [(0, 0.2), (1, 1.2)]},
    ),
    Sample(
        "json",
        "keras/history.json",
        json.dumps({"loss": [2.0, 1.0], "val_loss": [2.5, None]}),
        {"loss": [(1, 2.0), (2, 1.0)], "val_loss": [(1, 2.5)]},
    ),
    Sample(
        "tensorboard",
        "runs/a/events.out.tfevents.1.host",
        records(
            Event(wall_time=1.7e9, file_version="brain.Event:2"),
            scalar(1, "val/acc", 0.5),
            scalar(2, "val/acc", 0.75),
        ),
        {"val/acc": [(1, 0.5), (2, 0.75)]},
    ),
)
