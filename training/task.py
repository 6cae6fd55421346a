"""What a task must offer to the core: models, data, losses and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from training.errors import UserError
from training.keys import root_key
from training.layers import Layers
from training.schedule import Facts, Schedule, Stage, num_used
from training.settings import Place, Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Totals: TypeAlias = "dict[str, Tensor]"
"""Name -> sum over examples on the device; totals of batches and ranks add up.

A scalar, or in an evaluation a table of counts, such as (true class, predicted class), or the
drawings of `training.thumbnails`, which the record keeps beside the metrics.
"""


class Task(Protocol):
    """What is learned. One object serves all trials of a task in a process.

    It may also have `absent_terms()`: loss term -> why its weight must be 0 as it is configured;
    `examples()`: the images and true masks of which it draws predictions; `data_digest`, which
    names the content of its data alone and goes into exported checkpoints; what
    `training.features.FeatureTask` says, where features of a frozen backbone can be kept;
    `scratch(seed)`, which is `build` without starting weights from files, for stages that restart:
    without it they begin with what `build` gives; and `expect(data, coming)`, told the examples of
    the batch after the next, (B,) int64 on the host or None: a task whose data does not fit the
    device sends them ahead (`training.residence`).
    """

    @property
    def name(self) -> str:
        """Name of the system, part of the root key."""

    def identity(self) -> dict[str, Any]:
        """Plain configuration that decides results; no paths."""

    def fingerprint(self) -> str:
        """Name of the content of the data and of the starting weights."""

    def num_train(self) -> dict[str, int]:
        """Return the number of training examples of each data set."""

    def class_labels(self, data: str) -> Tensor | None:
        """Return the class of each training example, (N,) int64 on the CPU; None without classes.

        The balanced sampler wants it.
        """

    def layers(self) -> dict[str, Layers]:
        """Return the layer groups of each model."""

    def loss_terms(self) -> dict[str, float]:
        """Return the loss terms that a stage may weigh, with their defaults."""

    def check(self, stage: Stage, where: str, *, seed: int, micro_batch: int) -> None:
        """Raise `UserError` where a stage, called `where`, asks for what the task cannot do.

        `micro_batch` is the smallest number of examples of a forward pass in training.
        """

    def build(self, seed: int) -> nn.ModuleDict:
        """Return the models before any training, on the CPU; equal for equal seeds."""

    def adapt(self, models: nn.ModuleDict, data: str, seed: int) -> None:
        """Shape the models for the data set `data`: a new head, say; equal for equal seeds."""

    def draw(self, chosen: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
        """Return the random numbers of a step's whole batch `chosen`, (B, k) on the device.

        What an example must know of the others in the batch goes here: `loss` sees a part of it.
        """

    def loss(
        self, forward: Mapping[str, nn.Module], chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Totals]:
        """Return the mean loss over the training examples `chosen`, and totals to record.

        `chosen` is (B,) int64 and `draws` (B, k); both are on the device. Must not synchronise.
        """

    def evaluate(self, models: Mapping[str, nn.Module], settings: Settings, rank: int) -> Totals:
        """Return the totals over this rank's share of the validation examples."""

    def metrics(self, train: dict[str, float], val: dict[str, float]) -> dict[str, float]:
        """Turn the totals of training and validation into the metrics of the record."""

    def to(self, device: str) -> None:
        """Move the data to `device`."""


def facts_of(task: Task, *, seed: int, place: Place) -> Facts:
    """Return what a schedule must know of `task`."""
    identity = {"system": task.name, **task.identity()}
    return Facts(
        root=root_key(task=identity, fingerprint=task.fingerprint(), seed=seed),
        num_train=tuple(task.num_train().items()),
        layers=tuple((model, tuple(layers)) for model, layers in task.layers().items()),
        loss=tuple(task.loss_terms().items()),
        place=place,
        absent=tuple(getattr(task, "absent_terms", dict)().items()),
        backbones=tuple(getattr(task, "backbones", dict)().items()),
    )


def check(task: Task, schedule: Schedule, facts: Facts) -> None:
    """Raise `UserError` where `schedule` does not fit the facts, or its task cannot do a stage."""
    schedule.check(facts)
    for number, stage in enumerate(schedule.stages):
        where = f"stages.{number} ({stage.name})"
        if stage.sampler == "balanced" and task.class_labels(stage.data) is None:
            raise UserError(f"{where}.sampler: balanced needs classes, and {task.name} has none")
        parts = stage.accumulate * facts.place.world_size
        micro_batch = min(stage.batch_size, num_used(stage, facts)) // parts
        task.check(stage, where, seed=schedule.seed, micro_batch=micro_batch)
