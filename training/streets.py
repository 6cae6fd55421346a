"""Semantic segmentation of street scenes, with generated variants of training images mixed in."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from training.checkpoints import file_digest, load_weights
from training.config import Config
from training.decoded import Progress
from training.errors import UserError
from training.images import normalised
from training.layers import Layers
from training.modes import Modes, modes_of, set_modes
from training.pulse import beating
from training.randomness import derive
from training.residence import batches
from training.scenes import NUM_DRAWS, StreetData, coloured, cut_out
from training.schedule import Stage
from training.semantic import (
    build_semantic,
    confusion,
    ious,
    layers_of_semantic,
    mean_iou,
    pixel_loss,
    published_encoder,
    sliding_logits,
)
from training.settings import Settings
from training.street_data import NO_STRATEGY, SAMPLE, load_streets, sample_streets
from training.street_layout import IGNORED
from training.task import Totals

_EVAL_BATCH = 8
_COUNTS = ("right", "predicted", "true")
Side = Annotated[int, Field(ge=32, le=8192)]
_NO_WEIGHTS, _IMAGENET = "none", "imagenet"


class StreetsConfig(Config):
    """What is segmented by which network."""

    architecture: str = "pspnet"
    """Network of segmentation-models-pytorch: segformer, pspnet, unet, deeplabv3plus, ..."""
    encoder: str = "resnet18"
    """Its encoder: mit_b0 .. mit_b5, resnet18 .. resnet101, ..., or tu- and a timm model."""
    data: str = SAMPLE
    """`sample` (drawn, embedded), or a folder with images, labels and a label table."""
    strategy: str = NO_STRATEGY
    """Variants of training images that are mixed in: `none`, the name of a folder in `strategies`
    of the data, or the path of one."""
    rate: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the training images that is replaced by a variant, drawn anew each time."""
    height: Side = 64
    """Height in px at which images are kept, and at which all metrics are measured."""
    width: Side = 96
    """Width in px, likewise."""
    crop_height: Side | None = None
    """Height in px of what the network sees at once; none is the whole image."""
    crop_width: Side | None = None
    """Width in px, likewise."""
    evaluation: Literal["whole", "sliding"] = "whole"
    """Evaluate whole images at once, or windows of the size of a crop that overlap by a third."""
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Random change of brightness, contrast and saturation: 0.3 multiplies by 0.7 to 1.3."""
    weights: str = _NO_WEIGHTS
    """Starting weights: `none`, `imagenet` (the encoder, downloaded), or a checkpoint of the whole
    network."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("height", "width"):
            crop, whole = getattr(self, f"crop_{name}"), getattr(self, name)
            if crop is not None and crop > whole:
                raise ValueError(f"crop_{name}: {crop} is more than {name}, {whole}")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) of the images."""
        return self.height, self.width

    @property
    def crop(self) -> tuple[int, int]:
        """Return (height, width) of what the network sees in training."""
        return self.crop_height or self.height, self.crop_width or self.width


class Streets:
    """Classes of pixels; the metric is the mean IoU over classes."""

    name = "streets"

    def __init__(self, config: StreetsConfig) -> None:
        """Check the network's names and the data; raise `UserError` where they do not serve."""
        self.config = config
        self._data = load_data(config)
        self._key = (config.architecture, config.encoder, len(self._data.classes))
        _skeleton(*self._key)

    def identity(self) -> dict[str, Any]:
        """Return what decides results, without paths: the fingerprint stands for those."""
        mixed = self._data.variants is not None
        encoder = self.config.encoder
        names = set(StreetsConfig.model_fields) - {"data", "strategy", "rate", "weights"}
        return self.config.model_dump(include=names) | {
            "rate": self.config.rate if mixed else 0.0,
            "imagenet": published_encoder(encoder) if self.config.weights == _IMAGENET else None,
        }

    @cached_property
    def _fingerprint(self) -> str:
        weights = self.config.weights
        own = "" if weights in (_NO_WEIGHTS, _IMAGENET) else file_digest(weights)
        return self._data.digest + own

    def fingerprint(self) -> str:
        """Return the SHA-256 of all pixels and classes, and that of the weights file."""
        return self._fingerprint

    def num_train(self) -> dict[str, int]:
        """Return the number of training images; variants replace them and do not add to it."""
        return {"target": len(self._data.train)}

    def class_labels(self, data: str) -> None:
        """Return None: an image has no class."""

    def check(self, stage: Stage, where: str, *, seed: int, micro_batch: int) -> None:
        """Raise `UserError` for what cannot be done to classes of pixels, or a size that is off."""
        if stage.augment.mixes:
            raise UserError(f"{where}.augment: images with classes of pixels cannot be mixed")
        if stage.augment.rotate_deg:
            raise UserError(f"{where}.augment.rotate_deg: streets are not rotated")
        if stage.image_size is not None:
            raise UserError(f"{where}.image_size: streets have crop_height and crop_width instead")
        sliding = self.config.evaluation == "sliding"
        modes = modes_of(stage, self.layers()["model"])
        _try(self._key, self.config.crop, micro_batch, modes, where)
        _try(self._key, self.config.crop if sliding else self.config.size, 0, modes, where)

    def layers(self) -> dict[str, Layers]:
        """Return the layer groups of the one model: encoder, decoder, head."""
        return {"model": dict(layers_of_semantic(_skeleton(*self._key)))}

    def loss_terms(self) -> dict[str, float]:
        """Return the weight of the cross entropy."""
        return {"cross_entropy": 1.0}

    def build(self, seed: int) -> nn.ModuleDict:
        """Return the network with its starting weights."""
        torch.manual_seed(derive(seed, 0, "weights"))
        config = self.config
        model = build_semantic(
            config.architecture,
            config.encoder,
            num_classes=len(self._data.classes),
            pretrained=config.weights == _IMAGENET,
        )
        if config.weights not in (_NO_WEIGHTS, _IMAGENET):
            load_weights(model, config.weights, ignore=())
        return nn.ModuleDict({"model": model})

    def adapt(self, models: nn.ModuleDict, data: str, seed: int) -> None:
        """Leave the models as they are: there is one data set."""

    def draw(self, chosen: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
        """Return (B, NUM_DRAWS) uniform numbers for augmentation and variants."""
        return torch.rand(len(chosen), NUM_DRAWS, generator=generator, device=generator.device)

    def loss(
        self, forward: Mapping[str, nn.Module], chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Totals]:
        """Return the mean cross entropy over the images `chosen`, and counts of right pixels."""
        place, colours, mix = draws.split((4, 3, 2), dim=1)
        images, classes = self._data.mixed(chosen, mix, self.config.rate)
        images, classes = cut_out(images, classes, place, self.config.crop, settings.augment)
        images = coloured(images, colours, self.config.colour)
        images = normalised(images, channels_last=settings.compute.channels_last)
        logits = forward["model"](images).float()
        loss = dict(settings.loss)["cross_entropy"] * pixel_loss(logits, classes).mean()
        counted = classes != IGNORED
        right = (logits.argmax(1) == classes) & counted
        num = counted.new_full((), len(chosen), dtype=torch.int64)
        return loss, {"right": right.sum(), "pixels": counted.sum(), "num": num}

    def evaluate(self, models: Mapping[str, nn.Module], settings: Settings, rank: int) -> Totals:
        """Return counts over this rank's validation images, for each domain and class."""
        data, num = self._data, len(self._data.classes)
        device = next(models["model"].parameters()).device
        mine = torch.arange(rank, len(data.val), settings.place.world_size)
        tables = torch.zeros(max(1, len(data.domains)), num, num, dtype=torch.int64, device=device)
        loss = torch.zeros((), dtype=torch.float64, device=device)
        domain_of = torch.zeros(len(data.val), dtype=torch.int64, device=device)
        if data.domains:
            domain_of.copy_(data.domain_of)
        for chosen in beating(batches(mine, _EVAL_BATCH, str(device), data.val.expect)):
            images, classes = data.val.take(chosen)
            images = normalised(images, channels_last=settings.compute.channels_last)
            logits = self._logits(models["model"], images).float()
            loss += pixel_loss(logits, classes).sum()
            tables += confusion(logits, classes, domain_of[chosen], len(tables))
        totals: Totals = {"loss": loss, "num": torch.full_like(loss, len(mine))}
        for at, table in enumerate(tables):
            counts = (table.diagonal(), table.sum(0), table.sum(1))
            for name, values in zip(_COUNTS, counts, strict=True):
                totals |= {f"{name}/{at}/{c}": value for c, value in enumerate(values.unbind())}
        return totals

    def metrics(self, train: dict[str, float], val: dict[str, float]) -> dict[str, float]:
        """Return mean IoU and pixel accuracy, IoU of each class, mean IoU of each domain.

        A class that neither labels nor predictions have has no IoU (NaN) and is in no mean. Loss
        is the sum over counted pixels by all pixels.
        """
        data = self._data
        places = range(max(1, len(data.domains)))
        by_domain = [self._counts(val, at) for at in places]
        whole = [
            [sum(c) for c in zip(*parts, strict=True)] for parts in zip(*by_domain, strict=True)
        ]
        found = ious(*whole)
        domains = {
            f"miou_domain/{name}": mean_iou(ious(*counts))
            for name, counts in zip(data.domains, by_domain, strict=False)
        }
        return {
            "train_loss": train["loss"] / train["num"],
            "train_accuracy": train["right"] / max(1.0, train["pixels"]),
            "val_loss": val["loss"] / val["num"],
            "val_accuracy": sum(whole[0]) / max(1.0, sum(whole[2])),
            "val_miou": mean_iou(found),
            **{f"iou/{name}": value for name, value in zip(data.classes, found, strict=True)},
            **domains,
        }

    def to(self, device: str) -> None:
        """Move all images to the device, where they fit."""
        self._data.to(device)

    def expect(self, data: str, coming: Tensor | None) -> None:
        """Begin to send training images to the device, where they are on the host.

        Variants are chosen there and brought when they are: which of them is not known before.
        """
        if self._data.variants is None or self.config.rate < 1:
            self._data.train.expect(coming)

    def _logits(self, model: nn.Module, images: Tensor) -> Tensor:
        if self.config.evaluation == "sliding":
            return sliding_logits(model, images, self.config.crop)
        found: Tensor = model(images)
        return found

    def _counts(self, val: dict[str, float], at: int) -> list[list[float]]:
        classes = range(len(self._data.classes))
        return [[val[f"{name}/{at}/{number}"] for number in classes] for name in _COUNTS]


def load_data(config: StreetsConfig, progress: Progress | None = None) -> StreetData:
    """Return the data of a configuration; those of a folder are decoded once for all."""
    if config.data == SAMPLE:
        return sample_streets(config.size, config.strategy)
    return load_streets(config.data, config.size, config.strategy, progress)


@lru_cache(maxsize=8)
def _skeleton(architecture: str, encoder: str, num_classes: int) -> nn.Module:
    """Return the network without memory for its weights, to look at its layers and sizes."""
    state = torch.random.get_rng_state()
    model = build_semantic(architecture, encoder, num_classes=num_classes, pretrained=False)
    torch.random.set_rng_state(state)
    return model.to("meta")


def num_operations(config: StreetsConfig, num_classes: int = 19) -> float:
    """Return the floating-point operations of a forward pass of one crop, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    model = copy.deepcopy(_skeleton(config.architecture, config.encoder, num_classes)).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, *config.crop, device="meta"))
    return float(counter.get_total_flops())


@lru_cache(maxsize=64)
def _try(
    key: tuple[str, str, int], size: tuple[int, int], num_images: int, modes: Modes, where: str
) -> None:
    """Raise `UserError` where the network takes no such images; 0 of them stands for evaluation."""
    model = copy.deepcopy(_skeleton(*key))
    set_modes(model, layers_of_semantic(model), modes)
    if not num_images:
        model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(max(1, num_images), 3, *size, device="meta"))
    except (RuntimeError, ValueError) as error:
        what = f"{num_images} images in a micro-batch" if num_images else "evaluation"
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{where}: {key[0]} with {key[1]} at {size[0]} x {size[1]} px, {what}: {reason}"
        ) from None
