"""The first trial of a study, and the stage of it that trains most parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from search_spaces.dimensions import Ask, Given
from search_spaces.study import config_of, study
from thaw.overrides import split_overrides
from thaw.plan import draw
from thaw.preparing import prepare
from thaw.side_by_side import Work
from trainables.spec import TrialSpec
from trainables.systems import system
from training.device_share import device_share
from training.schedule import Facts, Schedule
from training.settings import Place, Settings
from training.walk import UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What stands for the trials of a study."""

    work: Work
    """A segment of the stage that trains most parameters."""
    stage: str
    num_segments: int
    """Of all stages."""


def first_trial(name: str, pairs: Sequence[str], data: str | None) -> Trial:
    """Return the first trial of a study, where a search would train it by default.

    Raises `UserError` for an unknown study, and what does not go with it.
    """
    device_share()
    place = Place(device="cuda" if torch.cuda.is_available() else "cpu")
    found = study(name)
    task, pinned = split_overrides(found.system, found.dimensions, pairs, data)
    config = config_of(found, task)
    values = draw(found, config, pinned, 1, 0)[0]
    schedule = found.space(Ask(Given(values), pinned), config, 0)
    spec = TrialSpec(system=found.system, task=task, schedule=schedule)
    prepare(system(found.system), config)
    facts = spec.facts(place)
    segments, sizes = _segments(spec.schedule, facts), _sizes(spec)

    def weight(segment: tuple[str, Settings]) -> tuple[float, ...]:
        settings = segment[1]
        size = settings.image_size or math.inf  # of the task's own, which others are mostly below
        return _trained(settings, sizes), size, settings.data == schedule.objective

    stage, settings = max(segments, key=weight)
    work = Work(spec=spec, settings=settings, root=facts.root)
    return Trial(work=work, stage=stage, num_segments=len(segments))


def _segments(schedule: Schedule, facts: Facts) -> list[tuple[str, Settings]]:
    """Return stage and settings of each segment, as if no rule of the schedule held."""
    found: list[tuple[str, Settings]] = []
    while (settings := schedule.next([UNKNOWN] * len(found), facts)) is not None:
        stage = schedule.stage_at([UNKNOWN] * len(found), len(found)).name
        found.append((stage, settings))
    return found


def _sizes(spec: TrialSpec) -> dict[tuple[str, str], int]:
    """Return the number of parameters of each (model, layer group)."""
    task = spec.build_task()
    models = task.build(spec.schedule.seed)
    found = {}
    for model, layers in task.layers().items():
        sizes = {name: value.numel() for name, value in models[model].named_parameters()}
        for layer, names in layers.items():
            found[model, layer] = sum(sizes.get(name, 0) for name in names)
    return found


def _trained(settings: Settings, sizes: dict[tuple[str, str], int]) -> int:
    trained = [layer for layer, multiplier in settings.multipliers if multiplier is not None]
    return sum(sizes[settings.model, layer] for layer in trained)
