"""EdgeFace (arXiv 2307.01838): an EdgeNeXt whose linear layers are low-rank, and an ArcFace head.

Names of parameters are those of the published checkpoints behind `backbone.`, so that these load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.layers import Layers, layers_of_timm

EMBEDDING = 512
"""Length of the vector that stands for a face."""


@dataclass(frozen=True)
class Variant:
    """One of the published sizes."""

    backbone: str
    """Name in timm."""
    gamma: float | None
    """Rank of the linear layers as a share of their smaller side; None leaves them whole."""


VARIANTS = {
    "xxs": Variant("edgenext_xx_small", None),
    "xs_gamma_06": Variant("edgenext_x_small", 0.6),
    "s_gamma_05": Variant("edgenext_small", 0.5),
    "base": Variant("edgenext_base", None),
}
"""Name -> variant, as the authors call them behind `edgeface_`."""


class LowRank(nn.Module):
    """A linear layer as the product of two thin ones."""

    def __init__(self, whole: nn.Linear, rank: int) -> None:
        """Take the place of `whole`."""
        super().__init__()
        bias = whole.bias is not None
        self.linear1 = nn.Linear(whole.in_features, rank, bias=False)
        self.linear2 = nn.Linear(rank, whole.out_features, bias=bias)

    def forward(self, values: Tensor) -> Tensor:
        """Return (..., out) from (..., in)."""
        thin: Tensor = self.linear2(self.linear1(values))
        return thin


class EdgeFace(nn.Module):
    """Faces to embeddings, and to cosines with the identities of the training set."""

    def __init__(self, variant: str, *, gamma: float | None = None) -> None:
        """Build one of `VARIANTS`; `gamma` takes the place of the variant's own ratio."""
        import timm

        super().__init__()
        found = VARIANTS[variant]
        self.backbone: Any = timm.create_model(found.backbone, num_classes=EMBEDDING)
        ratio = found.gamma if gamma is None else gamma
        if ratio is not None and ratio < 1:
            make_low_rank(self.backbone, ratio)
        self.arcface = nn.Parameter(torch.empty(2, EMBEDDING))
        self.classify(2)

    def classify(self, num_identities: int) -> None:
        """Put a fresh ArcFace head for so many identities on it."""
        device = self.arcface.device
        self.arcface = nn.Parameter(torch.empty(num_identities, EMBEDDING, device=device))
        nn.init.xavier_uniform_(self.arcface)

    def forward(self, faces: Tensor, *, classify: bool = False) -> Tensor:
        """Return (B, 512) embeddings of (B, 3, 112, 112) faces in [0, 1], of any length.

        With `classify` they are (B, identities): cosines with the classes of the ArcFace head.
        """
        embeddings: Tensor = self.backbone(_centred(faces))
        return F.normalize(embeddings) @ F.normalize(self.arcface).T if classify else embeddings

    def features(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return embeddings as `forward` does, and what each of the four stages puts out."""
        last, stages = self.backbone.forward_intermediates(_centred(faces))
        embeddings: Tensor = self.backbone.forward_head(last)
        return embeddings, stages


def make_low_rank(model: nn.Module, ratio: float) -> None:
    """Replace every linear layer in `model`, the embedding's too, by one of low rank.

    The rank is `ratio` times the smaller side, and at least 2, as in the published models.
    """
    for name, child in model.named_children():
        if isinstance(child, nn.Linear):
            rank = max(2, int(min(child.in_features, child.out_features) * ratio))
            setattr(model, name, LowRank(child, rank))
        else:
            make_low_rank(child, ratio)


def arcface_loss(
    cosines: Tensor, identities: Tensor, *, scale: float, margin: float, temperature: float
) -> Tensor:
    """Return the mean additive angular margin loss (Deng et al. 2019, arXiv 1801.07698, eq. 3).

    `cosines` are (B, classes), `identities` (B,) int64; `margin` in radians is added to the angle
    of the right class, logits are `scale` / `temperature` times the cosines. At margin 0 it is the
    normalised softmax. Where angle and margin pass pi the cosine goes on falling along a line, as
    in the authors' code: it would rise again.
    """
    rows = torch.arange(len(cosines), device=cosines.device)
    angles = cosines[rows, identities].clamp(-1 + 1e-7, 1 - 1e-7).acos()
    moved = torch.where(
        angles + margin <= torch.pi,
        torch.cos(angles + margin),
        torch.cos(angles) - margin * torch.sin(torch.as_tensor(margin)),
    )
    logits = cosines.index_put((rows, identities), moved) * (scale / temperature)
    return F.cross_entropy(logits, identities)


def layers_of_edgeface(model: EdgeFace) -> Layers:
    """Return the layer groups of the backbone, its `head` makes the embedding, and `arcface`."""
    groups = layers_of_timm(model.backbone)
    named = {name: tuple(f"backbone.{part}" for part in parts) for name, parts in groups.items()}
    return named | {"arcface": ("arcface",)}


def published_name(name: str) -> str | None:
    """Return the name that a parameter of a published checkpoint has in `EdgeFace`.

    The authors' wrapper calls the network `model`, other code `backbone`; timm's names stand bare.
    A head over identities belongs to its own data set: None.
    """
    bare = name.removeprefix("model.").removeprefix("backbone.")
    return None if bare.startswith("arcface") else f"backbone.{bare}"


def _centred(faces: Tensor) -> Tensor:
    """Return faces in [-1, 1], as published recognisers take them."""
    return faces * 2 - 1
