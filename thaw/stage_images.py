"""What a search's trials look like at the ends of their stages, as images in TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback

from analysis.event_writer import EventWriter
from thaw.confusion import class_names, stage_ends
from thaw.confusion_picture import picture, size_of
from thaw.face_strips import dsr_ends, strip
from thaw.predictions import prediction_ends, prediction_picture
from trainables.slot import TRIAL, Assignment
from trainables.spec import TrialSpec
from training.cyclic import Cyclic
from training.record import Record
from training.store import Store

Visited = Sequence[tuple[str, Record]]
Drawn = tuple[str, int, bytes]
"""Tag, number of segments so far, PNG."""
_PEOPLE = 4


class StageImages(Callback):
    """Writes an image for each stage of a trial into its folder when the trial is over."""

    def __init__(self, store: Store, folder: Path) -> None:
        """Take the records from `store`; `folder` holds the folders of the trials."""
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
        spec = assignment.spec
        images = [
            *_confusions(spec, found),
            *_predictions(spec, found),
            *_faces(spec, found, self._store),
        ]
        if not images:
            return
        folder = self._folder / Path(trial.local_path).name
        now_s = time.time()
        with EventWriter(folder, f"events.out.tfevents.{now_s:.0f}.images") as writer:
            for tag, segment, png in images:
                writer.image(segment, now_s, tag, png, *size_of(png))


def _confusions(spec: TrialSpec, visited: Visited) -> Iterator[Drawn]:
    ends = stage_ends(visited, spec.schedule.objective)
    names = class_names(spec) if ends else ()
    for end in ends:
        yield f"confusion/{end.stage}", end.segment, picture([end], names)


def _predictions(spec: TrialSpec, visited: Visited) -> Iterator[Drawn]:
    for end in prediction_ends(visited, spec.schedule.objective):
        yield f"predictions/{end.stage}", end.segment, prediction_picture(spec, [end])


def _faces(spec: TrialSpec, visited: Visited, store: Store) -> Iterator[Drawn]:
    """Yield what each DSR makes of some held-out people, where the store has its state."""
    if spec.system != "cyclic":
        return
    task = spec.build_task()
    assert isinstance(task, Cyclic)
    models = {stage.name: stage.model for stage in spec.schedule.stages}
    segments = {record.key: number for number, (_, record) in enumerate(visited, 1)}
    for stage, key in dsr_ends([(s, models[s], record.key) for s, record in visited]):
        png = strip(task, store, [(stage, key)], _PEOPLE)
        if png is not None:
            yield f"faces/{stage}", segments[key], png
