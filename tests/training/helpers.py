"""A task over random images that trains in milliseconds, and how states are compared."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.classes import class_weights, cross_entropy, num_right
from training.confusion import CONFUSION, counted
from training.images import augment, prepare
from training.layers import Layers, layers_of_timm
from training.mixing import Mixed, draw, mix, own_draws, partner_draws, partners
from training.randomness import derive
from training.record import Record
from training.schedule import Facts, Schedule, Stage
from training.settings import Place, Settings
from training.store import Store
from training.task import Totals, facts_of
from training.trainer import Trainer
from training.walk import Visit, foresee, walk

NUM_CLASSES = {"source": 3, "target": 4}
SECONDS = ("train_s", "eval_s", "restore_s", "save_s", "write_s", "peak_bytes")


class TinyTask:
    """A timm model over random uint8 images of two data sets."""

    name = "tiny"

    def __init__(
        self, model: str = "test_resnet", *, num: int = 48, size: int = 16, drop_rate: float = 0.0
    ) -> None:
        self.model, self.num, self.size, self.drop_rate = model, num, size, drop_rate
        random = torch.Generator().manual_seed(7)
        self.data: dict[str, tuple[Tensor, Tensor]] = {}
        for name, classes in NUM_CLASSES.items():
            shape = (num, 3, size, size)
            pixels = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
            self.data[name] = (pixels, torch.randint(0, classes, (num,), generator=random))

    def identity(self) -> dict[str, Any]:
        return {"model": self.model, "size": self.size, "drop_rate": self.drop_rate}

    def fingerprint(self) -> str:
        pixels = self.data["source"][0].numpy().tobytes()
        return hashlib.sha256(pixels).hexdigest()

    def num_train(self) -> dict[str, int]:
        return {name: self.num for name in self.data}

    def class_labels(self, data: str) -> Tensor:
        return self.data[data][1]

    def layers(self) -> dict[str, Layers]:
        return {"model": layers_of_timm(self.create(2))}

    def loss_terms(self) -> dict[str, float]:
        return {"label_smoothing": 0.0, "class_weight_power": 0.0}

    def check(self, stage: Stage, where: str, *, seed: int, micro_batch: int) -> None:
        """Take everything."""

    def build(self, seed: int) -> nn.ModuleDict:
        torch.manual_seed(derive(seed, 0, "weights"))
        return nn.ModuleDict({"model": self.create(2)})

    def adapt(self, models: nn.ModuleDict, data: str, seed: int) -> None:
        torch.manual_seed(seed)
        models["model"].reset_classifier(NUM_CLASSES[data])

    def draw(self, chosen: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
        return draw(chosen, settings.augment, generator)

    def loss(
        self, forward: Mapping[str, nn.Module], chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Totals]:
        every, terms = self.data[settings.data][1], dict(settings.loss)
        images = self._augmented(chosen, own_draws(draws), settings)
        labels: Tensor | Mixed = every[chosen]
        if settings.augment.mixes:
            other = partners(draws)
            others = self._augmented(other, partner_draws(draws), settings)
            images, share = mix(images, others, draws, settings.augment)
            labels = Mixed(every[chosen], every[other], share)
        power = terms["class_weight_power"]
        weights = class_weights(every, NUM_CLASSES[settings.data], power) if power else None
        logits = forward["model"](images).float()
        smoothing = terms["label_smoothing"]
        loss = cross_entropy(logits, labels, smoothing=smoothing, weights=weights)
        return loss, {"right": num_right(logits, labels), "num": torch.full((), len(chosen))}

    def evaluate(self, models: Mapping[str, nn.Module], settings: Settings, rank: int) -> Totals:
        pixels, labels = self.data[settings.data]
        mine = torch.arange(rank, self.num, settings.place.world_size)
        logits = models["model"](self._prepare(pixels[mine], settings)).float()
        loss = F.cross_entropy(logits, labels[mine], reduction="sum")
        num_classes = NUM_CLASSES[settings.data]
        return {
            "loss": loss,
            "right": (logits.argmax(1) == labels[mine]).sum(),
            "num": torch.full((), len(mine)),
            CONFUSION: counted(labels[mine], logits.argmax(1), num_classes),
        }

    def metrics(self, train: dict[str, float], val: dict[str, float]) -> dict[str, float]:
        return {
            "train_loss": train["loss"] / train["num"],
            "train_accuracy": train["right"] / train["num"],
            "val_loss": val["loss"] / val["num"],
            "val_accuracy": val["right"] / val["num"],
        }

    def to(self, device: str) -> None:
        """Stay on the CPU."""

    def create(self, num_classes: int) -> nn.Module:
        model: nn.Module = timm.create_model(
            self.model, num_classes=num_classes, drop_rate=self.drop_rate
        )
        return model

    def _augmented(self, chosen: Tensor, draws: Tensor, settings: Settings) -> Tensor:
        pixels = self._prepare(self.data[settings.data][0][chosen], settings)
        return augment(pixels, draws, settings.augment)

    def _prepare(self, pixels: Tensor, settings: Settings) -> Tensor:
        return prepare(
            pixels,
            mean=0.5,
            std=0.25,
            image_size=settings.image_size,
            channels_last=settings.compute.channels_last,
        )


def stage(**fields: Any) -> Stage:
    """Return a stage of two epochs of three steps for `TinyTask`, with `fields` set."""
    return Stage.parse({"name": "s", "epochs": 2, "lr": 3e-3, "batch_size": 16} | fields)


def schedule(*stages: Stage, **fields: Any) -> Schedule:
    """Return a schedule of `stages`."""
    return Schedule.parse({"stages": stages} | fields)


def facts(task: TinyTask, seed: int = 0, place: Place | None = None) -> Facts:
    """Return the facts of `task` on one CPU thread."""
    return facts_of(task, seed=seed, place=place or Place())


def trainer(task: TinyTask, store: Store, seed: int = 0, place: Place | None = None) -> Trainer:
    """Return a new trainer that knows nothing but the store."""
    place = place or Place()
    root = facts(task, seed, place).root
    return Trainer(task, root=root, seed=seed, store=store, place=place)


def run(schedule: Schedule, store: Store, task: TinyTask, by: Trainer | None = None) -> list[Visit]:
    """Walk `schedule` with a new trainer, or `by` a used one."""
    known = facts(task, schedule.seed)
    schedule.check(known)
    by = by or trainer(task, store, schedule.seed)
    return list(walk(schedule, known, store, by.train))


def keys(schedule: Schedule, task: TinyTask) -> tuple[str, ...]:
    """Return the keys of all segments of `schedule`."""
    return foresee(schedule, facts(task, schedule.seed))


def state(store: Store, key: str) -> dict[str, Any]:
    """Return the state of `key`, which must be there."""
    found = store.state(key)
    assert found is not None, f"no state {key}"
    return found


def weights(store: Store, key: str) -> dict[str, Tensor]:
    """Return name -> tensor of the one model in the state of `key`."""
    models: dict[str, Tensor] = state(store, key)["models"]
    return {name.removeprefix("model."): value for name, value in models.items()}


def part_of(store: Store, chosen: Sequence[str], folder: Path) -> Store:
    """Return a new store that holds only the keys `chosen` of `store`."""
    for key in chosen:
        shutil.copytree(path_of(store, key, ""), folder / key[:2] / key)
    return Store(str(folder))


def path_of(store: Store, key: str, name: str) -> Path:
    """Return the file of `key` in a local store."""
    return Path(store.url) / key[:2] / key / name


def outcome(record: Record) -> dict[str, Any]:
    """Return what a record says, without the seconds and the memory it took."""
    return {name: value for name, value in record.plain().items() if name not in SECONDS}


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Return one line for each leaf in which two nested states differ in a bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.dtype == other.dtype and torch.equal(one, other):
            return []
        gap = (one.double() - other.double()).abs().max() if one.shape == other.shape else "shape"
        return [f"{where}: largest difference {gap}"]
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if list(one) != list(other):
            return [f"{where}: {sorted(map(str, set(one) ^ set(other)))} only in one, or order"]
        return [
            line for name in one for line in differences(one[name], other[name], f"{where}/{name}")
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for index, (a, b) in pairs for line in differences(a, b, f"{where}/{index}")]
    return [] if one == other and type(one) is type(other) else [f"{where}: {one!r} != {other!r}"]


def same(one: Any, other: Any) -> None:
    """Fail with the leaves in which two states differ."""
    found = differences(one, other)
    assert not found, f"{len(found)} leaves differ:\n" + "\n".join(found[:8])
