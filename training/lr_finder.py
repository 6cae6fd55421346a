"""The learning-rate range test: a short training whose LR grows from step to step.

L. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186, section 3.3; with
the exponential LR, the smoothed loss and the suggestions of fastai 2 (`callback/schedule.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from training.live import Live
from training.segment import train_segment
from training.settings import Settings
from training.task import Task, Totals

LOWEST, HIGHEST, NUM_STEPS = 1e-7, 10.0, 100
"""Defaults of fastai's `lr_find`."""
_SMOOTHING = 0.98
_EXPLODED = 4.0
_CHUNK = 10
_SKIPPED_END = 5
_LEAST = 4


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw, step by step."""

    lrs: tuple[float, ...]
    """LR of each step at multiplier 1."""
    losses: tuple[float, ...]
    """Training loss of its batch."""
    smoothed: tuple[float, ...]
    """Exponential mean of the losses with weight 0.02 for the last, corrected for its start."""
    num_planned: int
    """Steps that were planned; fewer were made where the loss exploded."""

    @property
    def exploded(self) -> bool:
        """Tell whether the loss exploded before the highest LR."""
        return len(self.lrs) < self.num_planned

    def trusted(self) -> slice:
        """Return the steps that suggestions look at: not the first tenth, not the last 5."""
        end = next((i for i, x in enumerate(self.smoothed) if not math.isfinite(x)), len(self.lrs))
        return slice(self.num_planned // 10, min(end, len(self.lrs) - _SKIPPED_END))


def range_test(
    live: Live,
    task: Task,
    settings: Settings,
    seed: int,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    num_steps: int = NUM_STEPS,
) -> RangeTest:
    """Train `live` with an LR that grows exponentially from `lowest` to `highest`.

    `settings` say all but the LR; `settings.num_steps` is the length of an epoch. Ends early when
    the smoothed loss is above 4 times its least, or no number, which is looked at every 10 steps.
    The state of `live` is worth nothing afterwards; nothing is stored.
    """
    heard = _Heard(task)
    lrs = [lowest * (highest / lowest) ** (step / num_steps) for step in range(num_steps)]
    chunk = min(_CHUNK, settings.num_steps)
    unrecorded = settings.compute.model_copy(update={"cuda_graphs": False})  # replays are not heard
    losses: list[float] = []
    for begin in range(0, num_steps, chunk):
        part = replace(
            settings,
            index=settings.index + begin // chunk,
            lrs=tuple(lrs[begin : begin + chunk]),
            fresh_optimizer=begin == 0,
            restart=settings.restart and begin == 0,
            accumulate=1,
            ema_decay=None,
            compute=unrecorded,
        )
        train_segment(live, cast(Task, heard), part, seed)
        losses += heard.take()
        smoothed = smooth(losses)
        end = _explosion(smoothed)
        if end is not None:
            return RangeTest(
                tuple(lrs[:end]), tuple(losses[:end]), tuple(smoothed[:end]), num_steps
            )
    return RangeTest(tuple(lrs), tuple(losses), tuple(smoothed), num_steps)


def smooth(losses: Sequence[float], weight: float = _SMOOTHING) -> list[float]:
    """Return the exponential mean after each loss, divided by the weight that it has so far."""
    mean, smoothed = 0.0, []
    for count, loss in enumerate(losses, 1):
        mean = weight * mean + (1 - weight) * loss
        smoothed.append(mean / (1 - weight**count))
    return smoothed


def valley(test: RangeTest) -> float | None:
    """Return the LR two thirds (rounded down) through the longest valley.

    None for too few steps, and where the smoothed loss never falls.
    The longest valley is the longest falling subsequence of the smoothed loss; of the steps it
    spans by its length, the middle of its middle third is taken. ESRI's rule, the default of
    fastai's `lr_find`.
    """
    lrs, losses = _trusted(test)
    if len(lrs) < _LEAST:
        return None
    lengths: list[int] = []
    for index, loss in enumerate(losses):
        higher = (lengths[i] for i in range(index) if losses[i] > loss)
        lengths.append(1 + max(higher, default=0))
    longest = max(lengths)
    if longest == 1:
        return None
    start = lengths.index(longest) - longest
    return lrs[max(0, start + longest // 3 + longest // 6)]


def steepest(test: RangeTest) -> float | None:
    """Return the LR where the smoothed loss falls steepest over log LR (fastai's `steep`).

    None for too few steps, and where it never falls.
    """
    lrs, losses = _trusted(test)
    if len(lrs) < _LEAST:
        return None
    slopes = [
        (losses[i + 1] - losses[i]) / math.log(lrs[i + 1] / lrs[i]) for i in range(len(lrs) - 1)
    ]
    return lrs[slopes.index(min(slopes))] if min(slopes) < 0 else None


def _trusted(test: RangeTest) -> tuple[Sequence[float], Sequence[float]]:
    steps = test.trusted()
    return test.lrs[steps], test.smoothed[steps]


def _explosion(smoothed: Sequence[float]) -> int | None:
    """Return the number of steps up to the first at which the loss has exploded, or None."""
    best = math.inf
    for count, loss in enumerate(smoothed, 1):
        best = min(best, loss)
        if not math.isfinite(loss) or loss > _EXPLODED * best:
            return count
    return None


class _Heard:
    """A task whose training losses are noted step by step, on the device."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._steps: list[tuple[int, list[tuple[int, Tensor]]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def draw(self, chosen: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
        """Draw for a step, which begins with that."""
        self._steps.append((len(chosen), []))
        return self._task.draw(chosen, settings, generator)

    def loss(
        self, forward: Mapping[str, nn.Module], chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Totals]:
        loss, totals = self._task.loss(forward, chosen, draws, settings)
        self._steps[-1][1].append((len(chosen), loss.detach()))
        return loss, totals

    def take(self) -> list[float]:
        """Return the losses since the last call: one synchronisation."""
        means = torch.stack([_mean(*step) for step in self._steps])
        self._steps.clear()
        losses: list[float] = means.double().tolist()
        return losses


def _mean(num: int, parts: list[tuple[int, Tensor]]) -> Tensor:
    """Return the mean loss of a step over `num` examples from those of its micro-batches.

    The last that make up the step count: those before are of tries that memory did not hold.
    """
    total, left = torch.zeros_like(parts[-1][1]), num
    for size, loss in reversed(parts):
        if left:
            total, left = total + loss * (size / num), left - size
    return total
