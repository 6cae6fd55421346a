"""When a trial has diverged: a pure rule over its history."""

from __future__ import annotations

import math
from collections.abc import Sequence

from training.record import Record
from training.schedule import Schedule, Stage

EXPLOSION = 10.0
"""A training loss this many times its first value has exploded."""


def diverged(schedule: Schedule, history: Sequence[Record]) -> bool:
    """Tell whether the training loss of the last segment is no finite number, or has exploded.

    It has where it is `EXPLOSION` times that of the first segment with the same model, data and
    loss weights: what an untrained model has is the level that no useful schedule leaves upwards.
    The loss is taken as never negative. What a rule took the trial back from is behind it.
    """
    if len(history) - 1 not in schedule.way(history):
        return False
    loss = history[-1].metrics["train_loss"]
    if not math.isfinite(loss):
        return True
    levels = [_measured(stage) for stage in schedule.stages_of(history)]
    return loss > EXPLOSION * abs(history[levels.index(levels[-1])].metrics["train_loss"])


def _measured(stage: Stage) -> tuple[str, str, tuple[tuple[str, float], ...]]:
    """Return what decides the level of a segment's loss."""
    return stage.model, stage.data, tuple(sorted(stage.loss.items()))
