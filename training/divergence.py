"""When a trial has diverged: a pure rule over its history."""

from __future__ import annotations

import math
from collections.abc import Sequence

from training.record import Record
from training.schedule import Schedule

EXPLOSION = 10.0
"""A training loss this many times its first value has exploded."""


def diverged(schedule: Schedule, history: Sequence[Record]) -> bool:
    """Tell whether the training loss of the last segment is no finite number, or has exploded.

    It has where it is `EXPLOSION` times that of the first segment with the same model, data and
    loss weights: what an untrained model has is the level that no useful schedule leaves upwards.
    The loss is taken as never negative.
    """
    loss = history[-1].metrics["train_loss"]
    if not math.isfinite(loss):
        return True
    now = _measured(schedule, history, len(history) - 1)
    first = next(i for i in range(len(history)) if _measured(schedule, history, i) == now)
    return loss > EXPLOSION * abs(history[first].metrics["train_loss"])


def _measured(
    schedule: Schedule, history: Sequence[Record], index: int
) -> tuple[str, str, tuple[tuple[str, float], ...]]:
    """Return what decides the level of a segment's loss."""
    stage = schedule.stage_at(history, index)
    return stage.model, stage.data, tuple(sorted(stage.loss.items()))
