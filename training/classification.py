"""Image classification with any timm model: the first task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from training.backbone import Backbone
from training.backbone_modules import backbone_of
from training.checkpoints import file_digest, load_weights
from training.checks import check_classes, check_loss, why_not
from training.classes import class_weights, cross_entropy, num_right
from training.config import Config
from training.confusion import CONFUSION, MOST_CLASSES, counted
from training.digits import load_digits
from training.errors import UserError
from training.features import FeatureCache, Features, check_features, extract, name_of
from training.folder import load_folder
from training.images import LabelledData, augment, prepare
from training.layers import Layers, layers_by_pattern, layers_of_timm
from training.mixing import Mixed, draw, mix, own_draws, partner_draws, partners
from training.modes import Modes, modes_of, set_modes
from training.pulse import beating
from training.randomness import derive
from training.residence import batches
from training.schedule import Stage
from training.settings import Settings
from training.task import Totals
from training.timm_models import classifier_names, create, normalisation_of, published

_EVAL_BATCH = 256


class ClassifierConfig(Config):
    """What is classified by which model."""

    model: str = "test_resnet"
    """Any model that timm has."""
    data: str = "digits"
    """`digits` (embedded), or a folder with train/<class>/* and val/<class>/*."""
    image_size: Annotated[int, Field(ge=8, le=4096)] = 32
    """Side of the images in px."""
    weights: str = "none"
    """Starting weights: `none`, `timm` (downloaded by the library), or a checkpoint file. They
    decide how images are normalised: as timm says, as the file says, else by 0.5 and 0.25."""
    drop_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the head."""
    drop_path_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Stochastic depth, for models that have it."""
    layers: dict[str, str] | None = None
    """Layer groups as an ordered table name -> regular expression; none is timm's own grouping."""


class Classification:
    """A timm backbone with a head for each data set; metrics are loss and top-1 accuracy."""

    name = "classifier"

    def __init__(self, config: ClassifierConfig) -> None:
        """Check the model's name and the data; raise `UserError` where they do not serve."""
        self.config = config
        layer_groups(config)
        self._data = _load(config)
        self._weights: dict[tuple[str, float, str], Tensor] = {}
        self._cache = FeatureCache()
        self._normalisation = normalisation_of(config)
        self._features: dict[str, Features] = {}

    def identity(self) -> dict[str, Any]:
        """Return the configuration without paths: the fingerprint stands for those."""
        plain = self.config.model_dump(exclude={"data", "weights"})
        known = published(self.config.model) if self.config.weights == "timm" else None
        return plain | {"timm_weights": known}

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name, data in self._data.items():
            digest.update(f"{name}{data.classes}".encode())
            digest.update((data.digest or "").encode())
            for images in (data.train, data.val):
                digest.update(images.labels.cpu().numpy().tobytes())
                for chunk in images.pixels.split(1024) if data.digest is None else ():
                    digest.update(chunk.cpu().numpy().tobytes())
        if self.config.weights not in ("none", "timm"):
            digest.update(file_digest(self.config.weights).encode())
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """Return the SHA-256 of all pixels, labels and the weights file."""
        return self._fingerprint

    def num_train(self) -> dict[str, int]:
        """Return the number of training images of each data set."""
        return {name: len(data.train) for name, data in self._data.items()}

    def class_labels(self, data: str) -> Tensor:
        """Return the class of each training image, (N,) int64 on the CPU."""
        return self._data[data].train.labels.cpu()

    def classes(self, data: str) -> tuple[str, ...]:
        """Return the class names of a data set in the order of the labels."""
        return self._data[data].classes

    def layers(self) -> dict[str, Layers]:
        """Return the layer groups of the one model."""
        return {"model": layer_groups(self.config)}

    def loss_terms(self) -> dict[str, float]:
        """Return label smoothing, and the power of inverse class frequency that weighs a class."""
        return {"label_smoothing": 0.0, "class_weight_power": 0.0}

    def check(self, stage: Stage, where: str, *, seed: int, micro_batch: int) -> None:
        """Raise `UserError` for a size, a loss, a mix or a share of the data that cannot be."""
        check_loss(stage, where)
        check_classes(stage, where, self.class_labels(stage.data), self.classes(stage.data), seed)
        channels = self._data[stage.data].train.pixels.shape[1]
        _check_size(self.config, stage, where, channels, micro_batch)

    def backbones(self) -> dict[str, Backbone]:
        """Return what the model has before its classifier, where its features can be kept."""
        channels = next(iter(self._data.values())).train.pixels.shape[1]
        found = _backbone(self.config.model_dump_json(), channels)
        return {} if found is None else {"model": found}

    def keep_features(
        self, split: str, model: nn.Module, settings: Settings, *, frozen: str, used: Tensor | None
    ) -> None:
        """Have the features of the images of a split at hand; see `training.features`."""
        data, backbone = self._data[settings.data], self.backbones()["model"]
        images = data.train if split == "train" else data.val

        def prepared(chosen: Tensor) -> Tensor:
            return self._prepare(images.take(chosen), settings)

        def make() -> Features:
            device = images.labels.device
            num = len(images)
            made = extract(model, backbone, prepared, num=num, used=used, device=device)
            if split == "train":
                check_features(model, backbone, prepared, made, used=used, settings=settings)
            return made

        name = name_of(
            split,
            settings,
            data=self.fingerprint(),
            frozen=frozen,
            preparation=[self.config.model, self.config.image_size, *self._normalisation],
            used=used,
        )
        self._features[split] = self._cache.of(name, make)

    def build(self, seed: int) -> nn.ModuleDict:
        """Return the model with its starting weights; the head comes with the first data set."""
        torch.manual_seed(derive(seed, 0, "weights"))
        channels = next(iter(self._data.values())).train.pixels.shape[1]
        model = create(self.config, channels, pretrained=self.config.weights == "timm")
        if self.config.weights not in ("none", "timm"):
            load_weights(model, self.config.weights, ignore=classifier_names(model))
        return nn.ModuleDict({"model": model})

    def adapt(self, models: nn.ModuleDict, data: str, seed: int) -> None:
        """Put a fresh head for the classes of `data` on the model."""
        torch.manual_seed(seed)
        models["model"].reset_classifier(len(self._data[data].classes))  # type: ignore[operator]

    def draw(self, chosen: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
        """Return the numbers for augmentation and mixing, (B, k); see `training.mixing`."""
        return draw(chosen, settings.augment, generator)

    def loss(
        self, forward: Mapping[str, nn.Module], chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Totals]:
        """Return mean cross entropy over the images `chosen`, and how many were right."""
        images, labels = self.train_batch(chosen, draws, settings)
        return self.train_loss(forward["model"](images), labels, settings)

    def train_batch(
        self, chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Tensor | Mixed]:
        """Return the images `chosen` as the model takes them, (B, C, H, W), and their labels.

        Where features are kept, those of the images, (B, features), as the head takes them.
        """
        data = self._data[settings.data].train
        if settings.compute.cache_features:
            return self._features["train"][chosen], data.labels[chosen]
        images = self._augmented(chosen, own_draws(draws), settings)
        if not settings.augment.mixes:
            return images, data.labels[chosen]
        other = partners(draws)
        others = self._augmented(other, partner_draws(draws), settings)
        images, share = mix(images, others, draws, settings.augment)
        return images, Mixed(data.labels[chosen], data.labels[other], share)

    def train_loss(
        self, logits: Tensor, labels: Tensor | Mixed, settings: Settings
    ) -> tuple[Tensor, Totals]:
        """Return mean cross entropy of (B, classes) `logits`, and how many are right."""
        terms = dict(settings.loss)
        loss = cross_entropy(
            logits.float(),
            labels,
            smoothing=terms["label_smoothing"],
            weights=self._class_weights(settings.data, terms["class_weight_power"]),
        )
        return loss, {"right": num_right(logits, labels), "num": _count(logits)}

    def evaluate(self, models: Mapping[str, nn.Module], settings: Settings, rank: int) -> Totals:
        """Return summed loss, right answers and confusion over this rank's validation images.

        The confusion is (true class, predicted class); of more than 2000 classes there is none.
        """
        data = self._data[settings.data]
        none = data.val.labels[:0]
        totals = self.val_totals(torch.zeros(0, len(data.classes)).to(none.device), none, settings)
        for images, labels in self.val_batches(settings, rank):
            found = self.val_totals(models["model"](images), labels, settings)
            totals = {name: value + found[name] for name, value in totals.items()}
        return totals

    def val_batches(self, settings: Settings, rank: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this rank's validation images as the model takes them, and their labels."""
        images = self._data[settings.data].val
        device = str(images.labels.device)
        mine = torch.arange(rank, len(images), settings.place.world_size)
        features = self._features["val"] if settings.compute.cache_features else None
        expect = images.expect if features is None else None
        for chosen in beating(batches(mine, _EVAL_BATCH, device, expect)):
            if features is None:
                yield self._prepare(images.take(chosen), settings), images.labels[chosen]
            else:
                yield features[chosen], images.labels[chosen]

    def val_totals(self, logits: Tensor, labels: Tensor, settings: Settings) -> Totals:
        """Return the totals of one batch of validation images from its (B, classes) `logits`."""
        logits = logits.float()
        totals = {
            "loss": F.cross_entropy(logits, labels, reduction="sum"),
            "right": num_right(logits, labels),
            "num": _count(logits),
        }
        num_classes = len(self._data[settings.data].classes)
        if num_classes <= MOST_CLASSES:
            totals[CONFUSION] = counted(labels, logits.argmax(1), num_classes)
        return totals

    def metrics(self, train: dict[str, float], val: dict[str, float]) -> dict[str, float]:
        """Return mean loss and accuracy in [0, 1] of training and validation."""
        return {
            "train_loss": train["loss"] / train["num"],
            "train_accuracy": train["right"] / train["num"],
            "val_loss": val["loss"] / val["num"],
            "val_accuracy": val["right"] / val["num"],
        }

    def to(self, device: str) -> None:
        """Move all images to the device, where they fit."""
        for data in self._data.values():
            data.train.to(device)
            data.val.to(device)

    def expect(self, data: str, coming: Tensor | None) -> None:
        """Begin to send training images to the device, where they are on the host."""
        self._data[data].train.expect(coming)

    def _augmented(self, chosen: Tensor, draws: Tensor, settings: Settings) -> Tensor:
        pixels = self._data[settings.data].train.take(chosen)
        return augment(self._prepare(pixels, settings), draws, settings.augment)

    def _class_weights(self, data: str, power: float) -> Tensor | None:
        """Return (classes,) weights on the device of the data, or None where all are 1."""
        if not power:
            return None
        images = self._data[data].train
        key = (data, power, str(images.labels.device))
        if key not in self._weights:
            found = class_weights(self.class_labels(data), len(self.classes(data)), power)
            self._weights[key] = found.to(images.labels.device)
        return self._weights[key]

    def _prepare(self, pixels: Tensor, settings: Settings) -> Tensor:
        mean, std = self._normalisation.of(pixels.shape[1], pixels.device)
        return prepare(
            pixels,
            mean=mean,
            std=std,
            image_size=settings.image_size,
            channels_last=settings.compute.channels_last,
        )


def layer_groups(config: ClassifierConfig) -> Layers:
    """Return the layer groups of the configured model, from the stem to the head."""
    return dict(_layer_groups(config.model_dump_json()))


@lru_cache(maxsize=8)
def _layer_groups(config_json: str) -> Layers:
    config = ClassifierConfig.model_validate_json(config_json)
    with torch.device("meta"):
        model = create(config, channels=3, pretrained=False)
    if config.layers is None:
        return layers_of_timm(model)
    return layers_by_pattern(model, config.layers)


@lru_cache(maxsize=8)
def _backbone(config_json: str, channels: int) -> Backbone | None:
    config = ClassifierConfig.model_validate_json(config_json)
    with torch.device("meta"):
        model = create(config, channels, pretrained=False)
    size = config.image_size
    return backbone_of(model, layer_groups(config), (1, channels, size, size))


def _check_size(
    config: ClassifierConfig, stage: Stage, where: str, channels: int, micro_batch: int
) -> None:
    """Raise `UserError` where the model cannot take the stage's images."""
    size, text = stage.image_size or config.image_size, config.model_dump_json()
    modes = modes_of(stage, layer_groups(config))
    reason = _why_not(text, (micro_batch, channels, size, size), modes)
    if reason is None:
        return
    own = config.image_size
    takes_own = _why_not(text, (micro_batch, channels, own, own), modes) is None
    hint = f"; it takes the {own} px of the task's image_size" if takes_own else ""
    raise UserError(
        f"{where}: {config.model} cannot take {micro_batch} image{'s' * (micro_batch > 1)} of "
        f"{size} px at a time ({reason}){hint}"
    )


@lru_cache(maxsize=256)
def _why_not(config_json: str, shape: tuple[int, ...], modes: Modes) -> str | None:
    config = ClassifierConfig.model_validate_json(config_json)

    def ready() -> nn.Module:
        model = create(config, shape[1], pretrained=False)
        set_modes(model, layer_groups(config), modes)
        return model

    return why_not(ready, shape)


def _load(config: ClassifierConfig) -> dict[str, LabelledData]:
    if config.data == "digits":
        return load_digits(config.image_size)
    return {"target": load_folder(config.data, config.image_size)}


def _count(logits: Tensor) -> Tensor:
    return torch.full((), len(logits), device=logits.device)
