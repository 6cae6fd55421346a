"""What `benchmarks.throughput` trains: each system as the core sees it, and as a bare loop does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.core_overhead import Side
from training.classification import Classification, ClassifierConfig
from training.cyclic import Cyclic
from training.cyclic_config import CyclicConfig
from training.face_losses import l1
from training.randomness import derive
from training.schedule import Schedule, Stage
from training.semantic import pixel_loss
from training.settings import Augment, Compute, Place, Settings
from training.streets import Streets, StreetsConfig, load_data
from training.task import Task, facts_of

_LR, _DECAY = 1e-3, 1e-4
_MOVES = Augment(shift=0.1, zoom=0.1, flip=True)
Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class System:
    """A task with one of its models, and what a bare loop over tensors needs to train that."""

    task: Task
    model: str
    data: str
    synthetic: Callable[[int, torch.Generator], Batch]
    """Number of images and generator -> what the model is given, and what it is compared with."""
    loss: Callable[[Callable[[Tensor], Tensor], Batch], Tensor]
    """Model and batch -> the loss."""


def system(name: str, size: int, folder: Path) -> System:
    """Return the system `segformer`, `dsr`, or a classifier with the timm model `name`.

    Images are `size` px; a classifier's lie in `folder`. DSR's faces have 112 px always.
    """
    build = {"segformer": _segformer, "dsr": _dsr}.get(name)
    return build(size) if build else _classifier(name, size, folder)


def settings_of(
    system: System, batch: int, steps: int, compute: Compute, place: Place, *, augment: bool = True
) -> Settings:
    """Return the settings of a segment of `steps` steps at a constant LR, all layers training."""
    stage = Stage(
        name="full",
        epochs=1,
        segment_iterations=steps,
        lr=_LR,
        batch_size=batch,
        model=system.model,
        data=system.data,
        augment=_MOVES if augment else Augment(),
    )
    facts = facts_of(system.task, seed=0, place=place)
    settings = Schedule(stages=(stage,), compute=compute).next([], facts)
    assert settings is not None and settings.num_steps == steps, settings
    return settings


def raw_side(system: System, settings: Settings) -> Side:
    """Return the limit: a bare loop over one batch of float tensors that lie on the device."""
    device, compute = settings.place.device, settings.compute
    models = system.task.build(0)
    system.task.adapt(models, system.data, derive(0, 0, f"head {system.data}"))
    model = models[system.model].to(device).train()
    random = torch.Generator(device).manual_seed(0)
    batch = system.synthetic(settings.batch_size, random)
    if compute.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = batch[0].contiguous(memory_format=torch.channels_last)
        batch = (images, *batch[1:])
    forward = compiled(model, compute)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_LR, weight_decay=_DECAY, fused=device == "cuda" or None
    )

    def epoch() -> None:
        for _ in range(settings.num_steps):
            with autocast(compute, device):
                loss = system.loss(forward, batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return Side(epoch, model)


def compiled(model: nn.Module, compute: Compute) -> Callable[[Tensor], Tensor]:
    """Return the model as it is called."""
    found: Callable[[Tensor], Tensor] = torch.compile(model) if compute.compile else model
    return found


def autocast(compute: Compute, device: str) -> nullcontext[None] | torch.autocast:
    """Return the context of a forward pass."""
    if compute.precision == "fp32":
        return nullcontext()
    return torch.autocast(device, dtype=torch.bfloat16)


def _classifier(name: str, size: int, folder: Path) -> System:
    task = Classification(ClassifierConfig(model=name, image_size=size, data=str(folder)))
    num_classes = len(task.classes("target"))

    def synthetic(num: int, random: torch.Generator) -> Batch:
        images = torch.randn(num, 3, size, size, generator=random, device=random.device)
        labels = torch.randint(num_classes, (num,), generator=random, device=random.device)
        return images, labels

    return System(
        task,
        "model",
        "target",
        synthetic,
        lambda model, batch: F.cross_entropy(model(batch[0]).float(), batch[1]),
    )


def _segformer(size: int) -> System:
    config = StreetsConfig(architecture="segformer", encoder="mit_b2", height=size, width=size)
    task = Streets(config)
    num_classes = len(load_data(config).classes)

    def synthetic(num: int, random: torch.Generator) -> Batch:
        images = torch.randn(num, 3, size, size, generator=random, device=random.device)
        shape = (num, size, size)
        return images, torch.randint(num_classes, shape, generator=random, device=random.device)

    return System(
        task,
        "model",
        "target",
        synthetic,
        lambda model, batch: pixel_loss(model(batch[0]).float(), batch[1]).mean(),
    )


def _dsr(size: int) -> System:
    task = Cyclic(CyclicConfig(preset="full"))
    low = task.config.resolution

    def synthetic(num: int, random: torch.Generator) -> Batch:
        return tuple(
            torch.rand(num, 3, side, side, generator=random, device=random.device)
            for side in (low, 112)
        )

    return System(
        task,
        "dsr",
        "source",
        synthetic,
        lambda model, batch: l1(model(batch[0]).float(), batch[1]).mean(),
    )
