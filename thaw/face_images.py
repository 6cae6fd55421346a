"""Faces before and after each stage of a search's trials as images in TensorBoard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray.tune import Callback

from analysis.event_writer import EventWriter
from thaw.confusion_picture import size_of
from thaw.face_strips import dsr_ends, strip
from trainables.slot import TRIAL, Assignment
from training.cyclic import Cyclic
from training.store import Store

_PEOPLE = 4


class FaceImages(Callback):
    """Writes an image for each stage of DSR into a trial's folder when the trial is over."""

    def __init__(self, store: Store, folder: Path) -> None:
        """Take the weights from `store`; `folder` holds the folders of the trials."""
        self._store = store
        self._folder = folder
        self._visited: dict[str, dict[int, tuple[str, str]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Hand nothing to the pickle that Tune writes."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Note which segment a trial has come through, and in which stage."""
        name = trial.config[TRIAL].name
        visited = self._visited.setdefault(name, {})
        visited[result["segment"]] = (result["stage"], result["key"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write the images, after the scalars that Tune wrote: TensorBoard reads in that order."""
        assignment: Assignment = trial.config[TRIAL]
        visited = self._visited.pop(assignment.name, {})
        if assignment.spec.system != "cyclic":
            return
        task = assignment.spec.build_task()
        assert isinstance(task, Cyclic)
        models = {stage.name: stage.model for stage in assignment.spec.schedule.stages}
        segments = {key: number for number, (_, key) in visited.items()}
        ends = dsr_ends([(s, models[s], key) for _, (s, key) in sorted(visited.items())])
        now_s = time.time()
        folder = self._folder / Path(trial.local_path).name
        with EventWriter(folder, f"events.out.tfevents.{now_s:.0f}.faces") as writer:
            for stage, key in ends:
                png = strip(task, self._store, [(stage, key)], _PEOPLE)
                if png is not None:
                    writer.image(segments[key], now_s, f"faces/{stage}", png, *size_of(png))
