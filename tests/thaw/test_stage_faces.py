"""Faces before and after each stage of DSR, as images of a trial in TensorBoard."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.thaw.cyclic_results import TASK
from thaw.stage_images import StageImages
from trainables.slot import TRIAL, Assignment
from trainables.spec import TrialSpec
from training.cyclic import Cyclic
from training.schedule import Schedule, Stage
from training.settings import Place
from training.store import Store
from training.walk import UNKNOWN

STAGES = tuple(
    Stage(name=name, model=model, epochs=1, lr=1e-3)
    for name, model in (("initial_dsr", "dsr"), ("finetune", "edgeface"), ("cycle1_dsr", "dsr"))
)


def test_each_stage_of_dsr_has_an_image(tmp_path: Path) -> None:
    spec = TrialSpec(system="cyclic", task=TASK, schedule=Schedule(stages=STAGES))
    task = spec.build_task()
    assert isinstance(task, Cyclic)
    store = Store(str(tmp_path / "store"))
    state = {"models": task.build(0).state_dict(), "averaged": None}
    assignment = Assignment("0000", spec, spec.facts(Place()))
    trial = SimpleNamespace(config={TRIAL: assignment}, local_path=str(tmp_path / "0000"))
    images = StageImages(store, tmp_path)
    for number, stage in enumerate(STAGES, 1):
        key = f"{number:064d}"
        store.publish(replace(UNKNOWN, key=key, data="target"), state)
        result = {"segment": number, "stage": stage.name, "key": key}
        images.on_trial_result(number, [], trial, result)
    images.on_trial_complete(3, [], trial)
    found = EventAccumulator(str(tmp_path / "0000"), {"images": 0}).Reload()
    steps = {tag: [event.step for event in found.Images(tag)] for tag in found.Tags()["images"]}
    assert steps == {"faces/initial_dsr": [1], "faces/cycle1_dsr": [3]}
