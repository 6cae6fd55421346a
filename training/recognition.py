"""How well faces are recognised: closed-set identification and verification."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.full_precision import full_precision


@dataclass(frozen=True)
class Recognition:
    """What probes against a gallery of one face for each identity say."""

    accuracy: float
    """Rank-1 identification rate in [0, 1]."""
    tar: float
    """Share of the genuine pairs that are accepted at the asked share of false accepts."""
    auc: float
    """Area under the ROC curve of all pairs."""
    loss: float
    """Mean cross entropy of the probes over the gallery."""
    right: Tensor
    """(P,) bool: which probes are nearest to the face of their own identity."""


def enrolled(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return (gallery, probes): the first image of each identity, and all others.

    `labels` are (N,) int64; both results are indices, the gallery in the order of the labels.
    """
    first = torch.stack([(labels == label).nonzero()[0, 0] for label in labels.unique()])
    probes = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    probes[first] = False
    return first, probes.nonzero().flatten()


@full_precision
def recognise(
    probes: Tensor, gallery: Tensor, identities: Tensor, *, far: float, scale: float
) -> Recognition:
    """Compare every probe with every face of the gallery by the cosine of their embeddings.

    `probes` are (P, D) of `identities` (P,) int64, rows of `gallery` (G, D). `far` is the share of
    pairs of different people that may be accepted, `scale` multiplies cosines in the loss. Where an
    embedding is no number, no figure is, and no probe is right.
    """
    cosines = F.normalize(probes.float()) @ F.normalize(gallery.float()).T  # (P, G)
    if not cosines.isfinite().all():
        return Recognition(nan, nan, nan, nan, torch.zeros_like(identities, dtype=torch.bool))
    genuine = F.one_hot(identities, len(gallery)).bool()
    fpr, tpr = roc(genuine, cosines)
    right = cosines.argmax(1) == identities
    return Recognition(
        accuracy=right.float().mean().item(),
        tar=float(tpr[fpr <= far].max()),
        auc=float(np.trapezoid(tpr, fpr)),
        loss=F.cross_entropy(cosines * scale, identities).item(),
        right=right,
    )


def roc(genuine: Tensor, scores: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true accept rates over all thresholds, by scikit-learn."""
    from sklearn.metrics import roc_curve

    flat = scores.detach().flatten().cpu().double().numpy()
    fpr, tpr, _ = roc_curve(genuine.flatten().cpu().numpy(), flat, drop_intermediate=False)
    return fpr, tpr
