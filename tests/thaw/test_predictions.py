"""What a segmenting network predicts after each stage, as a user sees it."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from analysis.logs import read_logs
from tests.thaw.helpers import Thaw
from thaw.confusion_picture import size_of
from thaw.predictions import prediction_picture
from thaw.stage_ends import End
from thaw.stage_images import StageImages
from trainables.slot import TRIAL, Assignment
from trainables.spec import TrialSpec
from training.settings import Place
from training.store import Store
from training.thumbnails import packed
from training.trainer import Trainer
from training.walk import walk

YAML = """system: camouflage
task: {model: test_resnet, image_size: 32, width: 8, num_experts: 1}
schedule:
  stages:
  - {name: stage 1, epochs: 2, lr: 0.001, data_fraction: 0.1}
  - {name: stage 2, epochs: 1, lr: 0.001, data_fraction: 0.1}
"""
CELL = 144


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "schedule.yaml"
    path.write_text(YAML)
    return path


def end(stage: str, drawings: torch.Tensor) -> End:
    return End(stage, 3, 3, packed(drawings.long()))


def cells(png: bytes) -> np.ndarray:
    """Return the middle pixel of each cell: (row, column, channel)."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    step = CELL + 8
    return pixels[44 + CELL // 2 :: step, 8 + CELL // 2 :: step]


def test_the_picture_has_image_truth_and_a_column_for_each_stage(file: Path) -> None:
    spec = TrialSpec.read(str(file))
    black, white = torch.zeros(4, 32, 32), torch.full((4, 32, 32), 15)
    found = cells(prediction_picture(spec, [end("one", black), end("two", white)]))
    assert found.shape[:2] == (4, 4)
    examples = spec.build_task().examples()  # type: ignore[attr-defined]
    middle = examples[:, :, 16, 16].numpy()
    assert (found[:, 0] == middle[:, :3]).all()
    assert (found[:, 1] == middle[:, 3:]).all()
    assert not found[:, 2].any() and (found[:, 3] == 255).all()


def test_a_long_name_of_a_stage_stays_over_its_column(file: Path) -> None:
    spec = TrialSpec.read(str(file))
    names = ("stage 2, with a name that goes on and on", "s" * 200, "\u2603")
    shown = [end(name, torch.zeros(4, 32, 32)) for name in names]
    assert size_of(prediction_picture(spec, shown)) == (8 + 5 * 152, 44 + 4 * 152)


def test_train_writes_the_picture(file: Path, tmp_path: Path, thaw: Thaw) -> None:
    code, text, err = thaw("train", file, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert code == 0, err
    written = tmp_path / "out/predictions.png"
    assert f"wrote {written}" in text
    assert size_of(written.read_bytes()) == (8 + 4 * 152, 44 + 4 * 152)
    rows = list(csv.DictReader((tmp_path / "out/metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    read = read_logs([tmp_path / "out"]).points
    values = read[read["metric"] == "val_iou"]["value"]
    assert list(values) == [float(row["val_iou"]) for row in rows]


def test_a_trial_of_a_search_has_an_image_for_each_stage(file: Path, tmp_path: Path) -> None:
    spec, store = TrialSpec.read(str(file)), Store(str(tmp_path / "store"))
    facts = spec.facts(Place())
    trainer = Trainer(spec.build_task(), root=facts.root, seed=0, store=store, place=Place())
    callback = StageImages(store, tmp_path)
    trial: Any = SimpleNamespace(
        config={TRIAL: Assignment("0000", spec, facts)}, local_path=str(tmp_path / "0000")
    )
    for segment, visit in enumerate(walk(spec.schedule, facts, store, trainer.train), 1):
        result = {"segment": segment, "stage": visit.stage, "key": visit.record.key}
        callback.on_trial_result(segment, [trial], trial, result)
    callback.on_trial_complete(3, [trial], trial)
    events = EventAccumulator(str(tmp_path / "0000"), size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["predictions/stage 1", "predictions/stage 2"]
    (image,) = events.Images("predictions/stage 1")
    assert image.step == 2 and (image.width, image.height) == (8 + 3 * 152, 44 + 4 * 152)
