"""The confusion matrices of a search's trials as images in TensorBoard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray.tune import Callback

from analysis.event_writer import EventWriter
from thaw.confusion import class_names, stage_ends
from thaw.confusion_picture import picture, size_of
from trainables.slot import TRIAL, Assignment
from training.store import Store


class ConfusionImages(Callback):
    """Writes an image for each stage of a trial into its folder when the trial is over."""

    def __init__(self, store: Store, folder: Path) -> None:
        """Take the counts from `store`; `folder` holds the folders of the trials."""
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
        visited = sorted(self._visited.pop(assignment.name, {}).items())
        records = self._store.records(key for _, (_, key) in visited)
        found = [(stage, records[key]) for _, (stage, key) in visited if key in records]
        ends = stage_ends(found, assignment.spec.schedule.objective)
        if not ends:
            return
        names = class_names(assignment.spec)
        folder = self._folder / Path(trial.local_path).name
        now_s = time.time()
        with EventWriter(folder, f"events.out.tfevents.{now_s:.0f}.confusion") as writer:
            for end in ends:
                png = picture([end], names)
                writer.image(end.segment, now_s, f"confusion/{end.stage}", png, *size_of(png))
