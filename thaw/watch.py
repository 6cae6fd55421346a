"""What the monitor says of a run that is under way, in the few words of a progress view."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trainables.spec import TrialSpec
from trainables.systems import own_metric, system
from training.monitor import DIP_EPOCHS, STUCK_EPOCHS, explodes, in_dip, is_stuck, stuck_since

_LOSSES = ("train_loss", "val_loss")


class Watch:
    """The metrics of one run as they come in.

    A plateau is judged over the whole run, wherever its stages begin: a level that has not risen in
    as many epochs as the monitor waits. Metrics that are not in [0, 1] are not judged.
    """

    def __init__(self, metric: str, pace: float, unit: str = "epoch") -> None:
        """Judge by `metric`, more is better; `pace` is what `monitor.verdicts` takes.

        `unit` is what `take` counts.
        """
        self._metric = metric
        self._patience = max(1, round(STUCK_EPOCHS * pace))
        self._unit = unit
        self._seen: dict[int, tuple[float, ...]] = {}

    def take(self, number: int, metrics: Mapping[str, float]) -> None:
        """Take in what epoch `number` ended with; a run that went back forgets what came after."""
        value = metrics.get(self._metric, math.nan)
        if 0 <= value <= 1:  # on another data set it is NaN
            losses = (metrics.get(name, 1.0) for name in _LOSSES)  # what is not there never leaps
            earlier = {n: known for n, known in self._seen.items() if n < number}
            self._seen = earlier | {number: (value, *losses)}

    @property
    def kind(self) -> str:
        """Return the first word of what holds now: it stays the same while that lasts."""
        return self.says().partition(" ")[0]

    def says(self) -> str:
        """Return what holds now; mostly nothing."""
        numbers = list(self._seen)
        metrics, *losses = zip(*self._seen.values(), strict=True) if numbers else ((), ())
        for end in range(len(numbers), max(0, len(numbers) - DIP_EPOCHS), -1):
            if any(explodes(loss[:end], metrics[:end]) for loss in losses):
                return f"exploded at {self._unit} {numbers[end - 1]}"
        before, since = metrics[: -self._patience], metrics[-self._patience :]
        if before and is_stuck(since, before, epochs=self._patience):
            return f"plateau since {self._unit} {numbers[stuck_since(metrics)]}"
        return "dip" if in_dip((), metrics) else ""


def watch_of(spec: TrialSpec, unit: str = "epoch") -> Watch:
    """Return what watches a trial by its system's own metric, at its pace.

    A system says by `pace(config)` how many of its epochs stand for one of the monitor's; 1 if not.
    """
    pace = getattr(system(spec.system), "pace", None)
    return Watch(own_metric(spec.system), pace(spec.config()) if pace else 1.0, unit)
