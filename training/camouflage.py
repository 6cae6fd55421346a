"""Segmentation of camouflaged objects with EdgeNeXt, or any timm model that has features."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from training.camouflage_folder import load_camouflage
from training.camouflage_sample import draw_scene
from training.checkpoints import file_digest, load_weights
from training.config import Config
from training.errors import UserError
from training.images import NUM_DRAWS
from training.layers import Layers
from training.masked import MaskedData, MaskedImages
from training.pulse import beating
from training.randomness import derive
from training.residence import batches
from training.schedule import Stage
from training.segmentation_metrics import dice, iou, mae, s_measure
from training.segmenter import Segmented, Segmenter, build_segmenter, layers_of_segmenter
from training.settings import Settings
from training.structure_loss import border_weights, structure_terms
from training.task import Totals
from training.thumbnails import PREDICTIONS, blank, drawn, shown
from training.timm_models import published

SAMPLE = "sample"
"""Name of the data set that needs no files."""
_SAMPLE_TRAIN, _SAMPLE_VAL = 256, 64
_SAMPLE_DIFFICULTY = 0.4
_EVAL_BATCH = 16
_MEASURES = {"iou": iou, "dice": dice, "mae": mae, "s_measure": s_measure}


class CamouflageConfig(Config):
    """What is segmented by which network."""

    model: str = "edgenext_xx_small"
    """Backbone: any timm model with features, such as edgenext_base down to edgenext_xx_small."""
    data: str = SAMPLE
    """`sample` (drawn, embedded), or a folder with Train and Test, each Image and GT_Object."""
    image_size: Annotated[int, Field(ge=32, le=4096)] = 64
    """Side in px at which images are kept and all metrics are measured; a stage may train at
    another one."""
    weights: str = "none"
    """Starting weights: `none`, `timm` (the backbone, downloaded), or a checkpoint of the whole
    network."""
    num_experts: Annotated[int, Field(ge=1, le=64)] = 7
    """Experts of the decoder."""
    width: Annotated[int, Field(ge=8, le=512, multiple_of=8)] = 64
    """Channels of the decoder."""
    with_empty: bool = False
    """Use COD10K's images without any object (NonCAM) too."""


class Camouflage:
    """Binary segmentation; the metrics are those of the field, for each image and averaged."""

    name = "camouflage"

    def __init__(self, config: CamouflageConfig) -> None:
        """Check the model's name and the data; raise `UserError` where they do not serve."""
        self.config = config
        _layers(config.model, config.width, config.num_experts)
        self._data = _load(config)

    def identity(self) -> dict[str, Any]:
        """Return what decides results, without paths: the fingerprint stands for those."""
        names = set(CamouflageConfig.model_fields) - {"data", "weights"}
        plain = self.config.model_dump(include=names)
        known = published(self.config.model) if self.config.weights == "timm" else None
        return plain | {"timm_weights": known}

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256((self._data.digest or "").encode())
        for images in (self._data.train, self._data.val):
            digest.update(str(len(images)).encode())
            for chunk in images.pixels.split(256) if self._data.digest is None else ():
                digest.update(chunk.cpu().contiguous().numpy().tobytes())
        if self.config.weights not in ("none", "timm"):
            digest.update(file_digest(self.config.weights).encode())
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """Return the SHA-256 of all pixels, masks and the weights file."""
        return self._fingerprint

    def num_train(self) -> dict[str, int]:
        """Return the number of training images."""
        return {"target": len(self._data.train)}

    def class_labels(self, data: str) -> None:
        """Return None: a mask is no class."""

    def check(self, stage: Stage, where: str, *, seed: int, micro_batch: int) -> None:
        """Raise `UserError` for mixed images: their masks do not mix."""
        if stage.augment.mixes:
            raise UserError(f"{where}.augment: images with masks cannot be mixed")

    def layers(self) -> dict[str, Layers]:
        """Return the layer groups of the one model: backbone, decoder, experts, head."""
        config = self.config
        return {"model": dict(_layers(config.model, config.width, config.num_experts))}

    def loss_terms(self) -> dict[str, float]:
        """Return the weights of cross entropy, IoU loss and the side heads' sum of both."""
        return {"bce": 1.0, "iou": 1.0, "deep_supervision": 0.0}

    def build(self, seed: int) -> nn.ModuleDict:
        """Return the network with its starting weights."""
        torch.manual_seed(derive(seed, 0, "weights"))
        config = self.config
        model = build_segmenter(
            config.model,
            pretrained=config.weights == "timm",
            width=config.width,
            num_experts=config.num_experts,
        )
        if config.weights not in ("none", "timm"):
            load_weights(model, config.weights, ignore=())
        return nn.ModuleDict({"model": model})

    def adapt(self, models: nn.ModuleDict, data: str, seed: int) -> None:
        """Leave the models as they are: there is one data set."""

    def draw(self, chosen: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
        """Return (B, NUM_DRAWS) uniform numbers for the augmentation."""
        return torch.rand(len(chosen), NUM_DRAWS, generator=generator, device=generator.device)

    def loss(
        self, forward: Mapping[str, nn.Module], chosen: Tensor, draws: Tensor, settings: Settings
    ) -> tuple[Tensor, Totals]:
        """Return the mean structure loss over the images `chosen`, and the sum of their IoU."""
        images, masks = self._data.train.augmented(chosen, draws, settings)
        found: Segmented = forward["model"](images)
        terms = dict(settings.loss)
        weights = border_weights(masks)
        loss = _structure(found.logits, masks, weights, terms)
        for side in found.sides:
            raised = F.interpolate(side, masks.shape[-2:], mode="bilinear")
            loss = loss + terms["deep_supervision"] * _structure(raised, masks, weights, terms)
        right = iou(found.logits.detach().sigmoid(), masks).sum()
        return loss.mean(), {"iou": right, "num": right.new_full((), len(chosen))}

    def evaluate(self, models: Mapping[str, nn.Module], settings: Settings, rank: int) -> Totals:
        """Return sums over this rank's validation images, all measured at `image_size`.

        So stages that train at different sizes are compared on the same masks.
        """
        images = self._data.val
        device = str(next(models["model"].parameters()).device)
        mine = torch.arange(rank, len(images), settings.place.world_size)
        zero = torch.zeros((), device=device)
        names = ["loss", *_MEASURES, *_per_expert("gate", self.config.num_experts)]
        names += _per_expert("load", self.config.num_experts)
        totals = {name: zero.clone() for name in names} | {"num": zero + len(mine)}
        drawings = blank(len(images), self.config.image_size, zero.device)
        places = torch.tensor(shown(len(images))).to(device, non_blocking=True)
        for chosen in beating(batches(mine, _EVAL_BATCH, device, images.expect)):
            found: Segmented = models["model"](images.images(chosen, settings))
            for name, value in self._measure(found, images.masks(chosen), settings).items():
                totals[name] += value
            predicted = found.logits.float().sigmoid()
            drawings += drawn(predicted, chosen, places, drawings.shape[-1])
        return totals | {PREDICTIONS: drawings}

    def examples(self) -> Tensor:
        """Return the validation images that are drawn after each segment, (K, 4, S, S) uint8.

        The last channel is the true mask, 0 or 255.
        """
        return self._data.val.pixels[shown(len(self._data.val))].cpu()

    def metrics(self, train: dict[str, float], val: dict[str, float]) -> dict[str, float]:
        """Return the means over images; of each expert its mean gate, and how often it led.

        `val_least_expert` is the smallest mean gate, times the number of experts: 1 where all
        count alike, 0 where one is dead.
        """
        num = self.config.num_experts
        means = {name: value / val["num"] for name, value in val.items() if name != "num"}
        gates = _per_expert("gate", num)
        return {
            "train_loss": train["loss"] / train["num"],
            "train_iou": train["iou"] / train["num"],
            **{f"val_{name}": means[name] for name in ("loss", *_MEASURES)},
            "val_least_expert": num * min(means[name] for name in gates),
            **{name: means[name] for name in (*gates, *_per_expert("load", num))},
        }

    def to(self, device: str) -> None:
        """Move all images to the device, where they fit."""
        self._data.train.to(device)
        self._data.val.to(device)

    def expect(self, data: str, coming: Tensor | None) -> None:
        """Begin to send training images to the device, where they are on the host."""
        self._data.train.expect(coming)

    def _measure(self, found: Segmented, masks: Tensor, settings: Settings) -> Totals:
        """Return the sums over a batch, by the names of the totals."""
        logits = found.logits.float()
        if logits.shape[-1] != masks.shape[-1]:
            logits = F.interpolate(logits, masks.shape[-2:], mode="bilinear")
        loss = _structure(logits, masks, border_weights(masks), dict(settings.loss))
        predicted, num = logits.sigmoid(), self.config.num_experts
        leads = F.one_hot(found.gates.argmax(1), num).sum(0)
        return {
            "loss": loss.sum(),
            **{name: measure(predicted, masks).sum() for name, measure in _MEASURES.items()},
            **_named("gate", found.gates.sum(0)),
            **_named("load", leads),
        }


def _structure(
    logits: Tensor, masks: Tensor, weights: Tensor, terms: Mapping[str, float]
) -> Tensor:
    """Return the weighed structure loss of each image, (B,)."""
    entropy, overlap = structure_terms(logits.float(), masks, weights)
    return terms["bce"] * entropy + terms["iou"] * overlap


def _per_expert(what: str, num: int) -> list[str]:
    """Return names with a slash, which says: a detail, for logs and not for tables."""
    return [f"expert_{what}/{number}" for number in range(1, num + 1)]


def _named(what: str, values: Tensor) -> Totals:
    return dict(zip(_per_expert(what, len(values)), values.unbind(), strict=True))


@lru_cache(maxsize=8)
def _layers(model: str, width: int, num_experts: int) -> Layers:
    with torch.device("meta"):
        built: Segmenter = build_segmenter(
            model, pretrained=False, width=width, num_experts=num_experts
        )
    return layers_of_segmenter(built)


def _load(config: CamouflageConfig) -> MaskedData:
    if config.data == SAMPLE:
        return sample_data(config.image_size)
    return load_camouflage(config.data, config.image_size, with_empty=config.with_empty)


@lru_cache(maxsize=4)
def sample_data(size: int) -> MaskedData:
    """Return the embedded data set: scenes of `size` px, always the same."""
    scenes = [
        draw_scene(size, _SAMPLE_DIFFICULTY, (0, number))
        for number in range(_SAMPLE_TRAIN + _SAMPLE_VAL)
    ]
    pixels = torch.stack([torch.dstack([*map(torch.from_numpy, scene)]) for scene in scenes])
    pixels = pixels.permute(0, 3, 1, 2).contiguous()  # (N, 4, S, S)
    return MaskedData(MaskedImages(pixels[:_SAMPLE_TRAIN]), MaskedImages(pixels[_SAMPLE_TRAIN:]))
