"""Two clouds of points and a network of a few neurons, whose evaluation takes as long as one says.

For what is about slots, nodes and clusters, not about models: a worker needs nothing but torch. The
seconds are in the file `pace` of the folder that the environment variable `THAW_FAULTS` names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from search_spaces.dimensions import Ask, Int, Real
from search_spaces.study import Study
from training.config import Config
from training.layers import Layers, layers_by_pattern
from training.randomness import derive
from training.schedule import Schedule, Stage
from training.settings import Settings as SegmentSettings
from training.task import Totals

PACE = "pace"
_NUM_TRAIN, _NUM_VAL = 256, 128


class Settings(Config):
    """What can be configured."""

    width: int = 16
    """Neurons of the hidden layer."""


class Clouds:
    """The task (`training.task.Task`)."""

    name = "clouds"

    def __init__(self, config: Settings) -> None:
        """Draw the points: (384, 2) float32, every other one of the second class."""
        self._config = config
        self._labels = torch.arange(_NUM_TRAIN + _NUM_VAL) % 2
        noise = torch.randn(len(self._labels), 2, generator=torch.Generator().manual_seed(0))
        self._points = noise + self._labels[:, None]

    def identity(self) -> dict[str, Any]:
        """Return the configuration."""
        return self._config.model_dump()

    def fingerprint(self) -> str:
        """Return the digest of the points."""
        return hashlib.sha256(self._points.numpy().tobytes()).hexdigest()

    def num_train(self) -> dict[str, int]:
        """Return the size of the one data set."""
        return {"target": _NUM_TRAIN}

    def class_labels(self, data: str) -> Tensor:
        """Return the classes of the training points."""
        return self._labels[:_NUM_TRAIN]

    def layers(self) -> dict[str, Layers]:
        """Return body and head."""
        return {"model": layers_by_pattern(self._network(), {"body": "0", "head": "2"})}

    def loss_terms(self) -> dict[str, float]:
        """Return nothing: the loss is one term."""
        return {}

    def check(self, stage: Stage, where: str, *, seed: int, micro_batch: int) -> None:
        """Take any stage."""

    def build(self, seed: int) -> nn.ModuleDict:
        """Return the network, untrained."""
        torch.manual_seed(derive(seed, 0, "weights"))
        return nn.ModuleDict({"model": self._network()})

    def adapt(self, models: nn.ModuleDict, data: str, seed: int) -> None:
        """Leave the network as it is."""

    def draw(self, chosen: Tensor, settings: SegmentSettings, generator: torch.Generator) -> Tensor:
        """Draw nothing."""
        return torch.empty(len(chosen), 0)

    def loss(
        self,
        forward: Mapping[str, nn.Module],
        chosen: Tensor,
        draws: Tensor,
        settings: SegmentSettings,
    ) -> tuple[Tensor, Totals]:
        """Return the cross-entropy."""
        logits, labels = forward["model"](self._points[chosen]), self._labels[chosen]
        return cross_entropy(logits, labels), _counts(logits, labels)

    def evaluate(
        self, models: Mapping[str, nn.Module], settings: SegmentSettings, rank: int
    ) -> Totals:
        """Evaluate, after as long as the folder says."""
        with contextlib.suppress(OSError, ValueError):
            time.sleep(float((Path(os.environ["THAW_FAULTS"]) / PACE).read_text()))
        logits, labels = models["model"](self._points[_NUM_TRAIN:]), self._labels[_NUM_TRAIN:]
        loss = cross_entropy(logits, labels, reduction="sum")
        return {"loss": loss, **_counts(logits, labels)}

    def metrics(self, train: dict[str, float], val: dict[str, float]) -> dict[str, float]:
        """Return loss and accuracy."""
        return {
            f"{part}_{name}": sums[total] / sums["num"]
            for part, sums in (("train", train), ("val", val))
            for name, total in (("loss", "loss"), ("accuracy", "right"))
        }

    def to(self, device: str) -> None:
        """Stay on the CPU."""

    def _network(self) -> nn.Module:
        width = self._config.width
        return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2))


def _counts(logits: Tensor, labels: Tensor) -> Totals:
    return {"right": (logits.argmax(1) == labels).sum(), "num": torch.tensor(len(labels))}


def build(config: Settings) -> Clouds:
    """Return the task."""
    return Clouds(config)


_HEAD_EPOCHS = Int(name="head_epochs", low=1, high=4, unit="epochs")
_LR = Real(name="lr", low=1e-4, high=1e-1, log=True, unit="LR")


def baseline(config: Settings, *, seed: int) -> Schedule:
    """Return the first schedule that comes to mind."""
    return _schedule(2, 1e-2, seed)


def _schedule(head_epochs: int, lr: float, seed: int) -> Schedule:
    stages = (
        Stage(name="head", epochs=head_epochs, lr=1e-2, groups={"head": 1.0, "*": "frozen"}),
        Stage(name="full", epochs=6, lr=lr),
    )
    return Schedule(seed=seed, stages=stages)


def _space(ask: Ask, config: Any, seed: int) -> Schedule:
    return _schedule(ask(_HEAD_EPOCHS), ask(_LR), seed)


STUDY = Study(
    name="clouds",
    question="Does everything end, while nodes come and go?",
    system=str(Path(__file__)),
    dimensions=(_HEAD_EPOCHS, _LR),
    space=_space,
    max_epochs=10,
    grace_epochs=2,
)
