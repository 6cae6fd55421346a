"""Rules: what the records of a stage say about it, as pure functions of the history.

A signal looks at the last epochs of a stage, a rule joins signals by all or any. Accuracies are in
[0, 1] in records, thresholds on them are in points (hundredths); losses are compared relatively. A
signal that needs more epochs than there are, or a metric that is NaN, does not hold.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.config import Config
from training.errors import unknown
from training.monitor import STUCK_EPOCHS, explodes, is_stuck, level
from training.record import Record

Epochs = Annotated[int, Field(ge=1, le=1000)]
Points = Annotated[float, Field(ge=0, le=100)]
ACCURACY = "val_accuracy"
"""What signals look at that name no metric, unless the system has another one."""
_POINT = 0.01


class _Signal(Config):
    patience: Epochs
    """Over how many epochs it must hold."""

    @property
    def needs(self) -> int:
        """Return the least number of epochs of a stage at which it can hold."""
        return self.patience + 1

    @property
    def compares(self) -> bool:
        """Tell whether it needs an earlier stage on the same data."""
        return False

    @property
    def goes_on(self) -> bool:
        """Tell whether its `earlier` are all records before, those of the stage itself too."""
        return False

    @abstractmethod
    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Tell whether it holds after `records`, at least `needs`; `earlier` are before them."""


class LossFlat(_Signal):
    """The validation loss does not drop steeply any more: by less than a share each epoch."""

    kind: Literal["loss_flat"] = "loss_flat"
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """A drop by this share of the loss within an epoch is steep."""
    patience: Epochs = 1

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Compare each of the last epochs with the one before."""
        losses = _last(records, "val_loss", self.needs)
        return all(before - after < self.drop * abs(before) for before, after in pairwise(losses))


class AccuracySettled(_Signal):
    """The validation accuracy changes by less than a few points between epochs."""

    kind: Literal["accuracy_settled"] = "accuracy_settled"
    metric: str = ""
    """What should grow, a share of 1; none is the system's own."""
    points: Annotated[float, Field(gt=0, le=100)] = 1.0
    """A change of so many points is one."""
    patience: Epochs = 1

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Compare each of the last epochs with the one before."""
        values = _last(records, self.metric or ACCURACY, self.needs)
        return all(abs(after - before) < self.points * _POINT for before, after in pairwise(values))


class TrainSteady(_Signal):
    """The training loss is not noisy: its changes differ little from one epoch to the next."""

    kind: Literal["train_steady"] = "train_steady"
    noise: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Standard deviation of the changes, as a share of the mean loss."""
    patience: Annotated[int, Field(ge=2, le=1000)] = 3

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Look at the changes of the last epochs."""
        losses = _last(records, "train_loss", self.needs)
        changes = [after - before for before, after in pairwise(losses)]
        return pstdev(changes) < self.noise * abs(fmean(losses))


class GapSteady(_Signal):
    """Training and validation accuracy do not part."""

    kind: Literal["gap_steady"] = "gap_steady"
    metric: str = ""
    """What should grow in validation, a share of 1; none is the system's own. Its name in training
    has `train_` for `val_`."""
    points: Points = 1.0
    """Growth of the gap that counts as parting."""
    patience: Epochs = 2

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Compare the gap with the one `patience` epochs ago."""
        return _growth(records, self.metric or ACCURACY, self.needs) < self.points * _POINT


class GapOpens(_Signal):
    """Training accuracy runs away from validation accuracy."""

    kind: Literal["gap_opens"] = "gap_opens"
    metric: str = ""
    """What should grow in validation, a share of 1; none is the system's own. Its name in training
    has `train_` for `val_`."""
    points: Points = 3.0
    """Growth of the gap that counts as opening."""
    patience: Epochs = 3

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Compare the gap with the one `patience` epochs ago."""
        return _growth(records, self.metric or ACCURACY, self.needs) >= self.points * _POINT


class Plateau(_Signal):
    """A metric has not improved on its best: early stopping as it is known."""

    kind: Literal["plateau"] = "plateau"
    metric: str = "val_loss"
    """What should improve; any metric of the task."""
    mode: Literal["min", "max"] = "min"
    """Whether smaller or larger is better."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Least improvement, in the metric's unit: 0.01 is one point of an accuracy."""
    patience: Epochs = 3

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Compare the best of the last epochs with the best before them."""
        sign = 1 if self.mode == "max" else -1
        values = [sign * value for value in _last(records, self.metric, len(records))]
        return _best(values[-self.patience :]) <= _best(values[: -self.patience]) + self.min_delta


class Overfits(_Signal):
    """The validation loss rises in each epoch, and the accuracy gains nothing by it."""

    kind: Literal["overfits"] = "overfits"
    metric: str = ""
    """What should grow, a share of 1; none is the system's own."""
    patience: Epochs = 3

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Look at the last epochs and at the best accuracy before them."""
        losses = _last(records, "val_loss", self.needs)
        accuracies = _last(records, self.metric or ACCURACY, len(records))
        rises = all(after > before for before, after in pairwise(losses))
        return rises and _best(accuracies[-self.patience :]) <= _best(accuracies[: -self.patience])


class Hurts(_Signal):
    """The stage has not come back to what the stages before it had reached."""

    kind: Literal["hurts"] = "hurts"
    metric: str = ""
    """What should grow, a share of 1; none is the system's own."""
    points: Points = 1.0
    """By how much its best validation accuracy lies below theirs."""
    patience: Epochs = 2

    @property
    def needs(self) -> int:
        """Return the patience: the first epoch counts too."""
        return self.patience

    @property
    def compares(self) -> bool:
        """Tell that it does."""
        return True

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Compare the best of the stage with the best of `earlier`; without any it never holds."""
        if not earlier:
            return False
        metric = self.metric or ACCURACY
        best, before = (_best(_last(seen, metric, len(seen))) for seen in (records, earlier))
        return best < before - self.points * _POINT


class Explodes(_Signal):
    """The loss leaps within an epoch and the metric collapses, or the loss is no number."""

    kind: Literal["explodes"] = "explodes"
    metric: str = "val_iou"
    """What collapses with it."""
    patience: Annotated[int, Field(ge=1, le=1)] = 1

    @property
    def needs(self) -> int:
        """Return 1: the first epoch is compared with the last one before it."""
        return 1

    @property
    def goes_on(self) -> bool:
        """Tell that they are: after a reaction, an epoch is compared with the one before it."""
        return True

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Compare the last two epochs, by either loss: one that is bounded does not leap."""
        last = [*earlier[-1:], *records][-2:]
        metrics = _last(last, self.metric, 2)
        return any(explodes(_last(last, loss, 2), metrics) for loss in ("train_loss", "val_loss"))


class Stuck(_Signal):
    """The stage has surely gained less over what was before it than it should."""

    kind: Literal["stuck"] = "stuck"
    metric: str = "val_iou"
    """What should grow."""
    points: Points = 1.0
    """Least gain of its level; what noise may have hidden counts as gained."""
    patience: Epochs = STUCK_EPOCHS

    @property
    def needs(self) -> int:
        """Return the patience: the resume point lies before the stage."""
        return self.patience

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Compare with the epochs before the stage, or with its first where there are none."""
        since = _last(records, self.metric, len(records))
        before = _last(earlier, self.metric, len(earlier)) or since[:1]
        return is_stuck(since, before, epochs=self.patience, least=self.points * _POINT)


class Below(_Signal):
    """The level of a metric is below what it should be by then."""

    kind: Literal["below"] = "below"
    metric: str = "val_iou"
    """What should have grown."""
    value: float
    """Where it should be, in the metric's unit."""
    patience: Epochs

    @property
    def needs(self) -> int:
        """Return the patience: from that epoch of the stage on it can hold."""
        return self.patience

    def holds(self, records: Sequence[Record], earlier: Sequence[Record]) -> bool:
        """Look at the level of the last epochs."""
        return level(_last(records, self.metric, len(records))) < self.value


Signal = Annotated[
    LossFlat
    | AccuracySettled
    | TrainSteady
    | GapSteady
    | GapOpens
    | Plateau
    | Overfits
    | Hurts
    | Explodes
    | Stuck
    | Below,
    Field(discriminator="kind"),
]


class Rule(Config):
    """Signals of which all must hold, or any."""

    all: tuple[Signal, ...] = ()
    any: tuple[Signal, ...] = ()
    after: Annotated[int, Field(ge=0)] = 0
    """Epochs of the stage in which it does not hold, whatever the signals say."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.all) == bool(self.any):
            raise ValueError("give signals under `all` or under `any`")
        return self

    @property
    def needs(self) -> int:
        """Return the least number of epochs of a stage at which it can hold."""
        needs = [signal.needs for signal in self.all or self.any]
        return max(self.after + 1, max(needs) if self.all else min(needs))

    @property
    def compares(self) -> tuple[str, ...]:
        """Return the signals for which it cannot hold without an earlier stage on the same data."""
        found = tuple(s.kind for s in self.all or self.any if s.compares)
        return found if self.all or len(found) == len(self.any) else ()

    def measured_by(self, metric: str) -> Rule:
        """Return the rule with `metric` for the signals that name none."""
        all_, any_ = (
            tuple(
                signal.model_copy(update={"metric": metric})
                if getattr(signal, "metric", metric) == ""
                else signal
                for signal in signals
            )
            for signals in (self.all, self.any)
        )
        return self.model_copy(update={"all": all_, "any": any_})

    def holding(
        self,
        records: Sequence[Record],
        earlier: Sequence[Record],
        before: Sequence[Record] = (),
    ) -> tuple[str, ...]:
        """Return the signals for which the rule holds after `records`; none where it does not.

        `earlier` are the records of the stages before, on the same data; `before` are they and
        those of the stage before `records`, where some no longer count. Raises `UserError` where a
        record lacks a metric that a signal looks at.
        """
        if len(records) <= self.after or not records[-1].metrics:
            return ()
        found = tuple(
            signal.kind
            for signal in self.all or self.any
            if len(records) >= signal.needs
            and signal.holds(records, (before or earlier) if signal.goes_on else earlier)
        )
        return found if self.any or len(found) == len(self.all) else ()


def _last(records: Sequence[Record], metric: str, num: int) -> list[float]:
    """Return a metric of the last `num` records."""
    values = []
    for record in records[-num:]:
        if metric not in record.metrics:
            raise unknown("metric in a rule:", metric, record.metrics)
        values.append(record.metrics[metric])
    return values


def _best(values: Sequence[float]) -> float:
    """Return the largest value, of those that are numbers."""
    return max((value for value in values if not math.isnan(value)), default=-math.inf)


def _growth(records: Sequence[Record], metric: str, needs: int) -> float:
    """Return by how much a metric in training minus in validation grew; NaN where unknown."""
    train, val = (_last(records, name, needs) for name in (in_training(metric), metric))
    first, last = train[0] - val[0], train[-1] - val[-1]
    return last - first


def in_training(metric: str) -> str:
    """Return the name in training of a metric in validation."""
    return f"train_{metric.removeprefix('val_')}"
