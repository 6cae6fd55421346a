"""Losses over classes: mixed labels, and weights that make up for unequal numbers of examples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.mixing import Mixed


def class_weights(labels: Tensor, num_classes: int, power: float) -> Tensor:
    """Return (num_classes,) weights proportional to frequency ** -power, 1 for an average example.

    `power` 1 gives every class the same say (scikit-learn's "balanced": N / (K n)), 0.5 goes half
    the way, 0 leaves all at 1. Scaled so that the mean over the training examples is 1, and so the
    level of the loss and the meaning of the LR stay. A class without examples weighs 0.
    """
    counts = torch.bincount(labels, minlength=num_classes).double()
    weights = torch.where(counts > 0, counts.clamp(min=1) ** -power, 0.0)
    return (weights * (len(labels) / (weights * counts).sum())).float()


def cross_entropy(
    logits: Tensor, labels: Tensor | Mixed, *, smoothing: float, weights: Tensor | None
) -> Tensor:
    """Return the mean cross entropy of (B, K) `logits`, a scalar.

    Mixed labels count by their shares. A weight multiplies an example's whole loss; the sum is
    divided by the number of examples, not by their weights as `torch.nn.CrossEntropyLoss` does, so
    that it does not hang on how a batch is split.
    """
    if isinstance(labels, Tensor) and weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    def weighted(target: Tensor) -> Tensor:
        loss = F.cross_entropy(logits, target, label_smoothing=smoothing, reduction="none")
        return loss if weights is None else loss * weights[target]

    if isinstance(labels, Tensor):
        return weighted(labels).mean()
    return torch.lerp(weighted(labels.second), weighted(labels.first), labels.share).mean()


def num_right(logits: Tensor, labels: Tensor | Mixed) -> Tensor:
    """Return how many of (B, K) `logits` have their largest value at the label, a scalar.

    Of mixed labels each counts by its share, as in the code of the mixup paper: the figure is lower
    than the accuracy on clean images, and cannot reach 1.
    """
    found = logits.detach().argmax(1)
    if isinstance(labels, Tensor):
        return (found == labels).sum()
    right = (found == labels.first) * labels.share + (found == labels.second) * (1 - labels.share)
    return right.sum()
