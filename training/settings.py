"""Settings: everything that decides what one segment does to the state."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from training.config import Config
from training.optimizers import SGD, AdamW


class Augment(Config):
    """What is done to training images, drawn anew for each image and epoch; nothing by default."""

    shift: float = Field(0.0, ge=0, le=0.5)
    """Largest shift in each direction, as a share of the image."""
    zoom: float = Field(0.0, ge=0, lt=1)
    """Largest change of scale: 0.2 draws scales from 0.8 to 1.2."""
    rotate_deg: float = Field(0.0, ge=0, le=180)
    """Largest rotation in degrees."""
    flip: bool = False
    """Mirror left and right with probability one half."""
    mixup: float = Field(0.0, ge=0, le=100)
    """Blend pairs of images with a share from Beta(mixup, mixup), one for each batch; 0 is off.
    The train accuracy then counts both labels of an image by their shares."""
    cutmix: float = Field(0.0, ge=0, le=100)
    """Fill a box of an image from another, its area from Beta(cutmix, cutmix); 0 is off. With
    mixup on as well, each batch takes one of the two by chance."""

    @property
    def mixes(self) -> bool:
        """Tell whether images are mixed in pairs."""
        return self.mixup > 0 or self.cutmix > 0


class Compute(Config):
    """How the arithmetic is done."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16` runs forward and backward under autocast; weights stay in fp32."""
    channels_last: bool = False
    """Keep images and convolutions in NHWC order."""
    compile: bool = False
    """Run the model through `torch.compile`."""
    cuda_graphs: bool = False
    """Record a step of a segment as a CUDA graph and replay it for the others: for small models, of
    which the host launches kernels more slowly than a GPU runs them. Used by one process on a GPU;
    off elsewhere. See `training.recorded`."""
    cache_features: bool = False
    """Run a frozen backbone once over the images, and train the head on the features it made. Used
    in stages that train the classifier alone, without random augmentation, dropout or BatchNorm in
    mode `train`; off in others. See `training.features`."""

    def at(self, place: Place) -> Compute:
        """Return these settings without what has no effect at `place`."""
        alone_on_gpu = place.device == "cuda" and place.world_size == 1
        if self.cuda_graphs and not alone_on_gpu:
            return self.model_copy(update={"cuda_graphs": False})
        return self


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a segment runs; part of its settings, since it decides the last bits."""

    device: str = "cpu"
    """`cpu` or `cuda`."""
    world_size: int = 1
    """Number of training processes."""
    num_threads: int = 1
    """Threads of torch in each process on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The realised settings of one segment: numbers only, no names of curves or stages.

    What has no effect is left at one fixed value, so that settings which do the same are equal.
    """

    index: int
    """Number of segments before this one; seeds the segment's generators."""
    model: str
    """Which of the task's models is trained."""
    data: str
    """Which of the task's data sets it is trained and evaluated on."""
    lrs: tuple[float, ...]
    """LR of each optimizer step at multiplier 1; its length is the number of steps."""
    multipliers: tuple[tuple[str, float | None], ...]
    """(layer group, LR multiplier or None for frozen), in the model's order."""
    optimizer: AdamW | SGD
    fresh_optimizer: bool
    """Start with an empty optimizer (a stage border) or go on with the parent's."""
    batch_size: int
    """Examples of one optimizer step, over all processes."""
    accumulate: int
    """Micro-batches of which a step is made."""
    clip_norm: float | None
    """Largest gradient norm, or None."""
    batchnorm: str
    """`train`, `eval_frozen` or `eval_all`; see `Stage`."""
    image_size: int | None
    """Side of the images in px; None is the task's own."""
    data_fraction: float
    """Share of the training examples that is used."""
    sampler: str
    """`shuffle` or `balanced`; see `Stage`."""
    augment: Augment
    loss: tuple[tuple[str, float], ...]
    """(term, weight) as the task understands them, sorted."""
    ema_decay: float | None
    """Decay per step of the averaged weights, or None."""
    compute: Compute
    place: Place
    restart: bool = False
    """Begin with the model anew, whatever came before; see `Stage`."""

    @property
    def num_steps(self) -> int:
        """Return the number of optimizer steps."""
        return len(self.lrs)

    def group_lrs(self, step: int) -> list[float]:
        """Return the LR of each layer group at an optimizer step, from the end where negative."""
        return [self.lrs[step] * (multiplier or 0.0) for _, multiplier in self.multipliers]

    def plain(self) -> dict[str, Any]:
        """Return plain data with a fixed order, from which the key is made."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("optimizer", "augment", "compute"):
            data[name] = dict(_dumped(data[name]))
        if not self.restart:
            del data["restart"]  # keys are older than this field
        for name in ("cache_features", "cuda_graphs"):
            if not data["compute"][name]:
                del data["compute"][name]  # and than these
        return data | {"place": dict(vars(self.place))}


@lru_cache(maxsize=1024)  # the same for every segment of a stage, and for most of all stages
def _dumped(config: Config) -> dict[str, Any]:
    return config.model_dump()
