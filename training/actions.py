"""What a stage does when a rule holds: change something, or go back."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.config import Config
from training.curves import WarmUp
from training.errors import unknown
from training.record import Record
from training.rules import ACCURACY, Rule


class Reaction(Config):
    """What a stage changes from the next epoch on when a rule holds; then the rule looks anew."""

    when: Rule
    lr: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the LR."""
    weight_decay: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the weight decay."""
    freeze: tuple[str, ...] = ()
    """Globs of layer groups that do not train any more."""
    longer: Annotated[int, Field(ge=0)] = 0
    """Epochs by which the stage is lengthened; its curve is laid out anew over all of them. Such a
    reaction is looked at when the stage is through, too."""
    warmup: WarmUp = WarmUp()
    """Straight line up to the LR from there on, on top of all else."""
    times: Annotated[int, Field(ge=1)] = 1
    """How often it may happen."""

    def measured_by(self, metric: str) -> Reaction:
        """Return it with `metric` where its rule names none."""
        return self.model_copy(update={"when": self.when.measured_by(metric)})

    @model_validator(mode="after")
    def _changes(self) -> Self:
        if self.lr == self.weight_decay == 1 and not self.freeze and not self.longer:
            raise ValueError("changes nothing: give lr, weight_decay, freeze or longer")
        return self


class RollBack(Config):
    """Go back to a checkpoint of an earlier stage, or of this one, when a rule holds."""

    when: Rule
    to: str = ""
    """Name of the stage, which has the same data and model; none is the one before. In this stage
    itself a further try goes on from that epoch, on the rest of the curve; where nothing is left of
    it, from where it began. After an earlier stage it begins again."""
    pick: Literal["best", "last"] = "best"
    """Its best checkpoint, or the last one before the rule held."""
    metric: str = ""
    """What decides which checkpoint is the best; none is the system's own."""
    mode: Literal["min", "max"] = "max"
    """Whether smaller or larger is better."""
    tries: Annotated[int, Field(ge=0)] = 0
    """How often the stage is tried again from there; after that it is over."""
    lr: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the LR of each further try."""
    warmup: WarmUp = WarmUp()
    """Straight line up to the LR of each further try, on top of all else."""

    def measured_by(self, metric: str) -> RollBack:
        """Return it with `metric` where it or its rule names none."""
        named = {"when": self.when.measured_by(metric), "metric": self.metric or metric}
        return self.model_copy(update=named)

    @model_validator(mode="after")
    def _tries_differ(self) -> Self:
        if self.tries and self.lr == 1:
            raise ValueError("lr: a further try at the same LR is the same again; give a factor")
        return self

    def worth(self, record: Record) -> float:
        """Return how good a checkpoint is, larger is better; raise `UserError` where unknown."""
        metric = self.metric or ACCURACY
        if metric not in record.metrics:
            raise unknown("metric in roll_back:", metric, record.metrics)
        value = record.metrics[metric]
        return -math.inf if math.isnan(value) else value * (1 if self.mode == "max" else -1)
