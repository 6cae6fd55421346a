"""Features of a frozen backbone: computed once, kept over epochs and trials, named by content.

A stage that trains the head alone on images without random augmentation sees the same features of
an image in every epoch. With `Compute.cache_features` the backbone runs over each image once, in
evaluation mode, and the steps train the head on what it made.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from training.backbone import Backbone, without_features
from training.errors import UserError
from training.live import Live
from training.order import used_examples
from training.pulse import beating
from training.settings import Settings
from training.task import Task

CHUNK = 256
"""Images of one forward pass; fixed, since it decides the last bits."""
_ON_CPU_BYTES = 2 * 2**30
_SHARE_OF_DEVICE = 0.25
_CHECKED = 16
"""Images on which head and features are compared with the whole model."""
_TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
_IN_USE = 2
"""The features of training and of validation images, which take turns."""


@dataclass(frozen=True)
class Features:
    """What a backbone made of some images of a data set."""

    values: Tensor
    """(used images, ...), as the head takes them."""
    rows: Tensor | None = None
    """(images of the data set,) int64: the row of each, or None where all are used."""

    def __getitem__(self, chosen: Tensor) -> Tensor:
        """Return the features of the images `chosen`, (B,) int64, as (B, ...)."""
        return self.values[chosen if self.rows is None else self.rows[chosen]]

    @property
    def num_bytes(self) -> int:
        """Return the memory they take."""
        return self.values.nbytes + (0 if self.rows is None else self.rows.nbytes)


class FeatureCache:
    """Features by name, in the memory of their device; those not used for longest go first."""

    def __init__(self, limit_bytes: int | None = None) -> None:
        """Begin with nothing; None is 2 GiB on the CPU, a quarter of the memory of a GPU.

        What is in use stays, even where it takes more.
        """
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, Features] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        """Tell whether features are at hand."""
        return name in self._kept

    def of(self, name: str, make: Callable[[], Features]) -> Features:
        """Return the features called `name`, made where they are not at hand."""
        if name not in self._kept:
            self._kept[name] = make()
        self._kept.move_to_end(name)
        found, limit = self._kept[name], self._limit_bytes
        if limit is None:
            limit = _limit(found.values.device)
        while len(self._kept) > _IN_USE and self.num_bytes > limit:
            self._kept.popitem(last=False)
        return found

    @property
    def num_bytes(self) -> int:
        """Return the memory that all features take."""
        return sum(features.num_bytes for features in self._kept.values())


class FeatureTask(Protocol):
    """What a task has beside `Task` where features can be kept for one of its models."""

    def backbones(self) -> Mapping[str, Backbone]:
        """Return the backbones of the models of which features can be kept."""

    def keep_features(
        self, split: str, model: nn.Module, settings: Settings, *, frozen: str, used: Tensor | None
    ) -> None:
        """Have the features of the split `train` or `val` of the data set at hand.

        `loss` and `evaluate` then give them to the head where `settings.compute.cache_features`.
        `frozen` names the content of the backbone; `used` are the images in use, None is all. Runs
        under the stage's precision.
        """


def have_features(
    live: Live, task: Task, settings: Settings, seed: int, autocast: AbstractContextManager[object]
) -> None:
    """Have the features at hand that the segment trains on, if it does on features.

    With several processes each computes all of them, which makes them the same on all.
    """
    if not settings.compute.cache_features:
        return
    num = task.num_train()[settings.data]
    used = None
    if settings.data_fraction < 1:
        used = used_examples(num, settings.data_fraction, settings.data, seed).sort().values
    model, frozen = live.models[settings.model], live.backbone_name(settings)
    with autocast:
        _of(task).keep_features("train", model, settings, frozen=frozen, used=used)


def evaluated(
    live: Live, task: Task, settings: Settings, autocast: AbstractContextManager[object]
) -> tuple[dict[str, nn.Module], Settings]:
    """Return the models as they are evaluated, and the settings to do it with.

    Averaged weights that also average earlier ones of the backbone have no features to share: they
    are evaluated on images.
    """
    models = live.evaluated(settings)
    if not settings.compute.cache_features:
        return models, settings
    if not live.averages_the_head_alone(settings):
        return models, without_features(settings)
    model, frozen = models[settings.model], live.backbone_name(settings)
    with autocast:
        _of(task).keep_features("val", model, settings, frozen=frozen, used=None)
    return models | {settings.model: live.head(model, settings)}, settings


def name_of(
    split: str, settings: Settings, *, data: str, frozen: str, preparation: Any, used: Tensor | None
) -> str:
    """Return the SHA-256 of all that decides features, `data` being the fingerprint of the data.

    `preparation` is plain data that says how images are prepared beyond the settings.
    """
    chosen = "" if used is None else hashlib.sha256(used.cpu().numpy().tobytes()).hexdigest()
    place, compute = settings.place, settings.compute
    parts = [
        *(split, data, settings.data, frozen, preparation, chosen),
        *(settings.model, settings.image_size, compute.precision, compute.channels_last),
        *(place.device, place.num_threads),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def extract(
    model: nn.Module,
    backbone: Backbone,
    images: Callable[[Tensor], Tensor],
    *,
    num: int,
    used: Tensor | None,
    device: torch.device,
) -> Features:
    """Return what the head of `model` is given for the images `used` of `num`.

    `images` returns prepared images (B, C, H, W) for positions (B,) int64. They go through the
    model in evaluation mode in the order of the data set, so that the result is the same whenever
    it is computed.
    """
    wanted = torch.arange(num, device=device) if used is None else used.to(device)
    caught: list[Tensor] = []
    head = model.get_submodule(backbone.head)
    handle = head.register_forward_pre_hook(lambda module, given: caught.append(given[0]))
    values: Tensor | None = None
    try:
        with _evaluating(model):
            for start, chosen in zip(
                range(0, len(wanted), CHUNK), beating(wanted.split(CHUNK)), strict=True
            ):
                with torch.inference_mode():
                    model(images(chosen))
                made = caught.pop()
                if values is None:  # a plain tensor: autograd keeps it for the head's gradient
                    values = torch.empty(
                        (len(wanted), *made.shape[1:]), dtype=made.dtype, device=made.device
                    )
                values[start : start + len(made)].copy_(made)
    finally:
        handle.remove()
    assert values is not None  # a data set has images
    rows = None
    if used is not None:
        rows = torch.zeros(num, dtype=torch.int64, device=device)
        rows[wanted] = torch.arange(len(wanted), device=device)
    return Features(values, rows)


@torch.no_grad()
def check_features(
    model: nn.Module,
    backbone: Backbone,
    images: Callable[[Tensor], Tensor],
    features: Features,
    *,
    used: Tensor | None,
    settings: Settings,
) -> None:
    """Raise `UserError` where the model, as it trains, is not its head after the features.

    Looks at the first images in use. Settings with kept features promise it; a model whose modules
    do not say that they draw random numbers breaks the promise.
    """
    device = features.values.device
    first = torch.arange(len(features.values), device=device) if used is None else used.to(device)
    first = first[:_CHECKED]
    whole = model(images(first)).float()
    parts = model.get_submodule(backbone.head)(features[first]).float()
    gap = float((whole - parts).abs().max() / whole.abs().max().clamp_min(1e-12))
    if gap > _TOLERANCE[settings.compute.precision]:  # no number is no gap: the loss will tell
        raise UserError(
            f"compute.cache_features: the outputs in training differ by {gap:.2g} of the largest "
            "from those of kept features; this model draws random numbers or changes as it goes, "
            "so switch it off"
        )


def _limit(device: torch.device) -> int:
    if device.type != "cuda":
        return _ON_CPU_BYTES
    return int(_SHARE_OF_DEVICE * torch.cuda.get_device_properties(device).total_memory)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put all modules of `model` into evaluation mode, and each back to its own afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _of(task: Task) -> FeatureTask:
    """Return the task as one that keeps features; only such a one has settings that ask for it."""
    return cast(FeatureTask, task)
