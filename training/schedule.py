"""Schedules: ordered stages plus a seed, as plain frozen data that reads and writes YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from training.config import Config
from training.curves import Constant, Curve, WarmUp, factors
from training.errors import UserError, unknown
from training.layers import match_layers
from training.optimizers import AdamW, Optimizer
from training.record import Record
from training.settings import Augment, Compute, Place, Settings

_SAME_OPTIMIZER = ("model", "data", "optimizer")
"""What two stages must have in common for one to go on with the optimizer of the other."""

Multiplier = Annotated[float, Field(gt=0)] | Literal["frozen"]


def _all_alike() -> dict[str, Multiplier]:
    return {"*": 1.0}


class Stage(Config):
    """A span with one optimizer and one LR curve, training one model of the task."""

    name: Annotated[str, Field(min_length=1)]
    """What the stage is called in tables."""
    epochs: Annotated[int, Field(ge=1)]
    """Length; each epoch is one segment."""
    lr: Annotated[float, Field(gt=0)]
    """Learning rate at multiplier 1, at the top of the curve."""
    groups: dict[str, Multiplier] = Field(default_factory=_all_alike)
    """Ordered table: glob of layer groups -> LR multiplier, or "frozen". The first match wins."""
    model: str = "model"
    """Which of the task's models is trained."""
    data: str = "target"
    """Which of the task's data sets it is trained and evaluated on."""
    curve: Curve | None = None
    """LR curve of this stage; none takes part in the schedule's curve."""
    warmup: WarmUp = WarmUp()
    """Warm-up before the stage's own curve."""
    optimizer: Optimizer = AdamW()
    keep_optimizer: bool = False
    """Go on with the optimizer of the stage before instead of starting a new one."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Examples of one optimizer step, over all workers."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Micro-batches of which a step is made."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest gradient norm."""
    batchnorm: Literal["train", "eval_frozen", "eval_all"] = "train"
    """Whether BatchNorm layers use and update batch statistics: all of them, only those in
    trainable groups, or none (then their weights are frozen too)."""
    image_size: Annotated[int, Field(ge=1)] | None = None
    """Side of the images in px; none is the task's own."""
    data_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training examples that is used; a smaller share is part of a larger one."""
    sampler: Literal["shuffle", "balanced"] = "shuffle"
    """Every example once in an epoch, or the same number of each class (rare ones several times);
    the number of steps is the same."""
    augment: Augment = Augment()
    loss: dict[str, float] = Field(default_factory=dict)
    """Weights of loss terms, as the task names them; those left out have the task's defaults."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Average the weights with this decay per step, and evaluate the average."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size must be a multiple of accumulate ({self.accumulate})")
        if all(value == "frozen" for value in self.groups.values()):
            raise ValueError("groups: at least one layer group must be trainable")
        return self


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a schedule must know of its task to become settings; hashable."""

    root: str
    """Key of the state before any training."""
    num_train: tuple[tuple[str, int], ...]
    """(data set, number of training examples)."""
    layers: tuple[tuple[str, tuple[str, ...]], ...]
    """(model, its layer groups in order)."""
    loss: tuple[tuple[str, float], ...]
    """(loss term, default weight)."""
    place: Place


class Fork(Config):
    """The beginning of a schedule that another one goes on from."""

    at: Annotated[int, Field(ge=1)]
    """Number of segments that are those of `schedule`."""
    schedule: Schedule


class Schedule(Config):
    """An ordered list of stages plus a seed: the thing that is searched."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Decides initial weights, order, augmentation and dropout."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    curve: Curve = Constant()
    """One LR curve over all stages that have no curve of their own. What it counts in epochs are
    epochs of the first of them, so that it has no jump where a stage has longer epochs."""
    warmup: WarmUp = WarmUp()
    """Warm-up before the curve over all stages."""
    compute: Compute = Compute()
    fork: Fork | None = None
    """Begin as another schedule did; this one's stages hold from there on, as if they had been
    trained so far."""

    @property
    def objective(self) -> str:
        """Return the data set that the schedule is for: that of its last stage."""
        return self.stages[-1].data

    @property
    def num_epochs(self) -> int:
        """Return the number of epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    def locate(self, index: int) -> tuple[int, int]:
        """Return (stage number, epoch within it); past the end the number of stages."""
        for number, stage in enumerate(self.stages):
            if index < stage.epochs:
                return number, index
            index -= stage.epochs
        return len(self.stages), index

    def stage_at(self, index: int) -> Stage:
        """Return the stage to which the segment `index` belongs."""
        if self.fork is not None and index < self.fork.at:
            return self.fork.schedule.stage_at(index)
        return self.stages[self.locate(index)[0]]

    def next(self, history: Sequence[Record], facts: Facts) -> Settings | None:
        """Return the settings of the segment that follows `history`, or None at the end.

        A pure function. `check` tells beforehand whether it can raise.
        """
        if self.fork is not None and len(history) < self.fork.at:
            return self.fork.schedule.next(history, facts)
        number, epoch = self.locate(len(history))
        if number == len(self.stages):
            return None
        settings = _realise(
            self.stages, number, epoch, self.curve, self.warmup, self.compute, facts
        )
        return replace(settings, fresh_optimizer=True) if self._parts_ways(history) else settings

    def _parts_ways(self, history: Sequence[Record]) -> bool:
        """Tell whether the stage before the next segment has an optimizer that does not fit it."""
        if self.fork is None or len(history) != self.fork.at:
            return False
        before, after = self.stage_at(self.fork.at - 1), self.stage_at(self.fork.at)
        return any(getattr(before, name) != getattr(after, name) for name in _SAME_OPTIMIZER)

    def check(self, facts: Facts) -> None:
        """Raise `UserError` where the schedule does not fit the task, naming the field."""
        if self.fork is not None:
            self.fork.schedule.check(facts)
        for number, stage in enumerate(self.stages):
            where = f"stages.{number} ({stage.name})"
            if stage.model not in dict(facts.layers):
                raise unknown(f"model in {where}:", stage.model, dict(facts.layers))
            if stage.data not in dict(facts.num_train):
                raise unknown(f"data in {where}:", stage.data, dict(facts.num_train))
            for term in stage.loss:
                if term not in dict(facts.loss):
                    raise unknown(f"loss term in {where}:", term, dict(facts.loss))
            match_layers(stage.groups, dict(facts.layers)[stage.model], f"{where}.groups")
            share = stage.accumulate * facts.place.world_size
            if stage.batch_size % share:
                raise UserError(
                    f"{where}.batch_size: {stage.batch_size} is not a multiple of "
                    f"accumulate x workers ({share})"
                )
            if num_used(stage, facts) < share:
                raise UserError(
                    f"{where}.data_fraction: {stage.data_fraction} of {stage.data!r} is "
                    f"{num_used(stage, facts)} examples, fewer than accumulate x workers ({share})"
                )
            self._check_kept(number, where)

    def _check_kept(self, number: int, where: str) -> None:
        stage = self.stages[number]
        if not stage.keep_optimizer:
            return
        before = self.stages[number - 1] if number else None
        if before is None or any(getattr(before, f) != getattr(stage, f) for f in _SAME_OPTIMIZER):
            raise UserError(
                f"{where}.keep_optimizer: the stage before must train the same model on the same "
                "data with the same optimizer"
            )

    def plain(self) -> dict[str, Any]:
        """Return plain data for YAML: the seed, and what differs from the defaults."""
        return {"seed": self.seed} | self.model_dump(mode="json", exclude_defaults=True)


def num_steps_per_epoch(stage: Stage, facts: Facts) -> int:
    """Return optimizer steps per epoch: whole batches only, and at least one."""
    return max(1, num_used(stage, facts) // stage.batch_size)


def num_used(stage: Stage, facts: Facts) -> int:
    """Return how many training examples the stage uses."""
    return round(dict(facts.num_train)[stage.data] * stage.data_fraction)


def _realise(
    stages: tuple[Stage, ...],
    number: int,
    epoch: int,
    curve: Curve,
    warmup: WarmUp,
    compute: Compute,
    facts: Facts,
) -> Settings:
    stage = stages[number]
    rows = match_layers(stage.groups, dict(facts.layers)[stage.model], stage.name)
    multipliers = {layer: stage.groups[row] for layer, row in rows.items()}
    trainable = [value for value in multipliers.values() if value != "frozen"]
    # One multiplier for all that trains is a smaller LR: the same settings must look the same.
    scale = trainable[0] if len(set(trainable)) == 1 else 1.0
    return Settings(
        index=sum(before.epochs for before in stages[:number]) + epoch,
        model=stage.model,
        data=stage.data,
        lrs=tuple(
            stage.lr * scale * f for f in _factors(stages, number, epoch, curve, warmup, facts)
        ),
        multipliers=tuple(
            (layer, None if value == "frozen" else value / scale)
            for layer, value in multipliers.items()
        ),
        optimizer=stage.optimizer,
        fresh_optimizer=epoch == 0 and not stage.keep_optimizer,
        batch_size=stage.batch_size,
        accumulate=stage.accumulate,
        clip_norm=stage.clip_norm,
        batchnorm=stage.batchnorm,
        image_size=stage.image_size,
        data_fraction=stage.data_fraction,
        sampler=stage.sampler,
        augment=stage.augment,
        loss=tuple(sorted((dict(facts.loss) | stage.loss).items())),
        ema_decay=stage.ema_decay,
        compute=compute,
        place=facts.place,
    )


def _factors(
    stages: tuple[Stage, ...], number: int, epoch: int, curve: Curve, warmup: WarmUp, facts: Facts
) -> tuple[float, ...]:
    """Return the LR factors of one epoch, on the stage's own curve or on the one over all."""
    stage = stages[number]
    per_epoch = num_steps_per_epoch(stage, facts)
    own = stage.curve is not None
    sharing = [stage] if own else [other for other in stages if other.curve is None]
    before = [] if own else [other for other in stages[:number] if other.curve is None]
    lengths = {id(other): other.epochs * num_steps_per_epoch(other, facts) for other in sharing}
    begin = sum(lengths[id(other)] for other in before) + epoch * per_epoch
    return factors(
        stage.curve or curve,
        stage.warmup if own else warmup,
        begin=begin,
        end=begin + per_epoch,
        num_steps=sum(lengths[id(other)] for other in sharing),
        steps_per_epoch=num_steps_per_epoch(sharing[0], facts),
    )
