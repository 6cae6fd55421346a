"""Schedules: ordered stages plus a seed, as plain frozen data that reads and writes YAML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from training.actions import Reaction, RollBack
from training.backbone import Backbone, realised
from training.config import Config
from training.course import Course, fold
from training.curves import Constant, Curve, WarmUp, factors
from training.gates import Gate
from training.layers import match_layers
from training.optimizers import AdamW, Optimizer
from training.record import Record
from training.rules import Rule
from training.settings import Augment, Compute, Place, Settings

SAME_OPTIMIZER = ("model", "data", "optimizer")
"""What two stages must have in common for one to go on with the optimizer of the other."""

Multiplier = Annotated[float, Field(gt=0)] | Literal["frozen"]


def _all_alike() -> dict[str, Multiplier]:
    return {"*": 1.0}


class Stage(Config):
    """A span with one optimizer and one LR curve, training one model of the task."""

    name: Annotated[str, Field(min_length=1)]
    """What the stage is called in tables."""
    epochs: Annotated[int, Field(ge=1)]
    """Length, or with `until` the most; each epoch is one segment."""
    lr: Annotated[float, Field(gt=0)]
    """Learning rate at multiplier 1, at the top of the curve."""
    groups: dict[str, Multiplier] = Field(default_factory=_all_alike)
    """Ordered table: glob of layer groups -> LR multiplier, or "frozen". The first match wins."""
    model: str = "model"
    """Which of the task's models is trained."""
    data: str = "target"
    """Which of the task's data sets it is trained and evaluated on."""
    segment_iterations: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps of a segment, over as many passes of the data as they take; none is one pass.
    In YAML `iterations` and `validate_every` may stand for this and `epochs`."""
    curve: Curve | None = None
    """LR curve of this stage; none takes part in the schedule's curve."""
    warmup: WarmUp = WarmUp()
    """Warm-up before the stage's own curve."""
    optimizer: Optimizer = AdamW()
    keep_optimizer: bool = False
    """Go on with the optimizer of the last stage that trained this model, instead of a new one."""
    restart: bool = False
    """Begin with the model as the task builds it, while the other models stay as they are. `cyclic`
    then draws all its weights anew, whatever files it was given: training from scratch. Tasks of
    one model draw what `weights` does not name."""
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
    until: Rule | None = None
    """The stage ends when this holds. Its curve is laid out over `epochs` all the same."""
    react: tuple[Reaction, ...] = ()
    """What is changed within the stage; the first that holds happens."""
    roll_back: RollBack | None = None
    """When the trial goes back, and to what; looked at before `until`."""
    only_if: Gate | None = None
    """The stage is left out where this does not hold when it would begin."""

    @property
    def adaptive(self) -> bool:
        """Tell whether what the stage does hangs on its metrics."""
        return bool(self.until or self.react or self.roll_back or self.only_if)

    def measured_by(self, metric: str) -> Stage:
        """Return the stage with `metric` where its rules name none."""
        if not self.adaptive:
            return self
        return self.model_copy(
            update={
                "until": self.until and self.until.measured_by(metric),
                "react": tuple(reaction.measured_by(metric) for reaction in self.react),
                "roll_back": self.roll_back and self.roll_back.measured_by(metric),
            }
        )

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Yield (field, rule) of all rules."""
        if self.until is not None:
            yield "until", self.until
        if self.roll_back is not None:
            yield "roll_back.when", self.roll_back.when
        for number, reaction in enumerate(self.react):
            yield f"react.{number}.when", reaction.when

    @model_validator(mode="before")
    @classmethod
    def _from_iterations(cls, data: Any) -> Any:
        """Take a length in iterations, which the interval of validation must divide."""
        if not isinstance(data, dict) or "iterations" not in data:
            return data
        for field in ("epochs", "segment_iterations"):
            if field in data:
                raise ValueError(f"{field}: is not allowed beside iterations, which set it")
        length, every = data["iterations"], data.get("validate_every")
        if not all(isinstance(n, int) and n > 0 for n in (length, every)) or length % every:
            raise ValueError(
                f"validate_every: {every} must divide iterations, {length}: both whole numbers"
            )
        rest = {k: v for k, v in data.items() if k not in ("iterations", "validate_every")}
        return rest | {"epochs": length // every, "segment_iterations": every}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size must be a multiple of accumulate ({self.accumulate})")
        if all(value == "frozen" for value in self.groups.values()):
            raise ValueError("groups: at least one layer group must be trainable")
        if self.restart and self.keep_optimizer:
            raise ValueError("keep_optimizer: what restarts has a new optimizer")
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
    absent: tuple[tuple[str, str], ...] = ()
    """(loss term, why its weight must be 0)."""
    backbones: tuple[tuple[str, Backbone], ...] = ()
    """(model, what is in front of its head), for models whose features can be kept."""


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
    iterations_before: Annotated[int, Field(ge=0)] = 0
    """Iterations that the starting weights were trained for: tables and logs count them too."""
    fork: Fork | None = None
    """Begin as another schedule did; this one's stages hold from there on, as if they had been
    trained so far."""

    @model_validator(mode="after")
    def _forks_fixed(self) -> Self:
        if self.fork is not None and (self.adaptive or self.fork.schedule.adaptive):
            raise ValueError("fork: only schedules without rules can be forked")
        return self

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

    @property
    def adaptive(self) -> bool:
        """Tell whether what comes next hangs on the metrics of what was."""
        return any(stage.adaptive for stage in self.stages)

    def measured_by(self, metric: str) -> Schedule:
        """Return the schedule with `metric` where its rules name none."""
        if not self.adaptive:
            return self
        stages = tuple(stage.measured_by(metric) for stage in self.stages)
        return self.model_copy(update={"stages": stages})

    def stage_at(self, history: Sequence[Record], index: int) -> Stage:
        """Return the stage to which a segment belongs, `history[index]` or the next one."""
        if self.fork is not None and index < self.fork.at:
            return self.fork.schedule.stage_at(history, index)
        if not self.adaptive:
            return self.stages[self.locate(index)[0]]
        course = fold(self.stages, history)
        return self.stages[[*course.visited, course.number][index]]

    def stages_of(self, history: Sequence[Record]) -> list[Stage]:
        """Return the stage of each segment of `history`."""
        if not self.adaptive:
            return [self.stage_at(history, index) for index in range(len(history))]
        return [self.stages[number] for number in fold(self.stages, history).visited]

    def way(self, history: Sequence[Record]) -> Sequence[int]:
        """Return the places in `history` of the segments that led to the present state."""
        return fold(self.stages, history).way if self.adaptive else range(len(history))

    def event(self, history: Sequence[Record]) -> str:
        """Return what the rules decided after the last segment, in words; mostly nothing."""
        return fold(self.stages, history).event if self.adaptive else ""

    def next(self, history: Sequence[Record], facts: Facts) -> Settings | None:
        """Return the settings of the segment that follows `history`, or None at the end.

        `history` holds all segments that the trial came through, in their order, also those that
        it went back from; `way` tells which of them the next one follows. A pure function. `check`
        tells beforehand whether it can raise, but for a rule on a metric that the task has not.
        """
        if self.fork is not None and len(history) < self.fork.at:
            return self.fork.schedule.next(history, facts)
        if self.adaptive:
            return self._adapted(fold(self.stages, history), facts)
        number, epoch = self.locate(len(history))
        if number == len(self.stages):
            return None
        settings = self._realise(number, epoch, facts)
        return replace(settings, fresh_optimizer=True) if self._parts_ways(history) else settings

    def _adapted(self, course: Course, facts: Facts) -> Settings | None:
        """Return the settings of the next segment of adaptive stages."""
        if course.is_over:
            return None
        planned = self.stages[course.number]
        layers = dict(facts.layers)[planned.model]
        decay = planned.optimizer.weight_decay * course.weight_decay
        stage = planned.model_copy(
            update={
                "epochs": planned.epochs + course.longer,
                "lr": planned.lr * course.lr,
                "optimizer": planned.optimizer.model_copy(update={"weight_decay": decay}),
                "groups": with_frozen(planned, course.frozen, layers),
            }
        )
        stages = (*self.stages[: course.number], stage, *self.stages[course.number + 1 :])
        adapted = self.model_copy(update={"stages": stages})
        settings = adapted._realise(course.number, course.epoch, facts)
        warming = course.warming(settings.num_steps)
        lrs = tuple(lr * factor for lr, factor in zip(settings.lrs, warming, strict=True))
        return replace(settings, index=len(course.way), lrs=lrs)

    def _realise(self, number: int, epoch: int, facts: Facts) -> Settings:
        return _realise(self.stages, number, epoch, self.curve, self.warmup, self.compute, facts)

    def _parts_ways(self, history: Sequence[Record]) -> bool:
        """Tell whether the stage before the next segment has an optimizer that does not fit it."""
        if self.fork is None or len(history) != self.fork.at:
            return False
        before, after = (self.stage_at(history, self.fork.at - back) for back in (1, 0))
        return any(getattr(before, name) != getattr(after, name) for name in SAME_OPTIMIZER)

    def check(self, facts: Facts) -> None:
        """Raise `UserError` where the schedule does not fit the task, naming the field."""
        from training.fitting import check  # it knows schedules

        check(self, facts)

    def plain(self) -> dict[str, Any]:
        """Return plain data for YAML: the seed, and what differs from the defaults."""
        return {"seed": self.seed} | self.model_dump(mode="json", exclude_defaults=True)


def num_steps_per_epoch(stage: Stage, facts: Facts) -> int:
    """Return optimizer steps of a segment; in a pass over the data whole batches, at least one."""
    if stage.segment_iterations is not None:
        return stage.segment_iterations
    return max(1, num_used(stage, facts) // stage.batch_size)


def num_used(stage: Stage, facts: Facts) -> int:
    """Return how many training examples the stage uses."""
    return round(dict(facts.num_train)[stage.data] * stage.data_fraction)


def with_frozen(stage: Stage, globs: Set[str], layers: tuple[str, ...]) -> dict[str, Multiplier]:
    """Return layer group -> multiplier of a stage in which those that `globs` take are frozen."""
    rows = match_layers(stage.groups, layers, stage.name)
    return {
        layer: "frozen" if any(fnmatchcase(layer, glob) for glob in globs) else stage.groups[row]
        for layer, row in rows.items()
    }


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
    settings = Settings(
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
        compute=compute.at(facts.place),
        place=facts.place,
        restart=stage.restart and epoch == 0,
    )
    return realised(settings, dict(facts.backbones))


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
