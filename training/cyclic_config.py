"""Configuration of cyclic co-training, and what it alone decides: models and data."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator

from training.config import Config
from training.dsr import DSR, layers_of_dsr
from training.edgeface import EdgeFace, layers_of_edgeface
from training.faces import FaceData, drawn_faces, load_faces
from training.layers import Layers

PRESETS: dict[str, dict[str, Any]] = {
    "sample": {"blocks": 4, "width": 16, "edgeface": "xxs", "perceptual": "edgeface"},
    "full": {"blocks": 16, "width": 64, "edgeface": "xs_gamma_06", "perceptual": "none"},
}
"""Preset -> defaults of other fields; the lengths of the stages hang on it too."""


class CyclicConfig(Config):
    """Which faces at which resolution, which models, and what they start from."""

    preset: Literal["sample", "full"] = "sample"
    """Sizes of the models and lengths of the stages: to try it on a CPU, or in earnest."""
    data: str = "faces"
    """`faces` (drawn), or a folder with aligned faces of 112 px in a folder for each identity."""
    identities: Annotated[int, Field(ge=4, le=10_000)] = 72
    """Number of drawn identities; a third of them is only tested."""
    images: Annotated[int, Field(ge=2, le=1000)] = 6
    """Number of drawn images of each identity."""
    data_seed: Annotated[int, Field(ge=0)] = 0
    """Decides the drawn faces."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the identities of a folder that is tested, where it has no `test` or `val`."""
    skip_single: bool = False
    """Leave out identities of a folder that have one image, instead of refusing them."""
    resolution: Literal[16, 24, 32] = 16
    """Side of the faces that DSR is given, in px."""
    blocks: Annotated[int, Field(ge=2, le=64)] = 4
    """Residual blocks of DSR."""
    width: Annotated[int, Field(ge=4, le=512)] = 16
    """Channels of DSR."""
    edgeface: str = "xxs"
    """Variant of EdgeFace: xxs, xs_gamma_06, s_gamma_05 or base."""
    gamma: Annotated[float, Field(gt=0, le=1)] | None = None
    """Rank of EdgeFace's linear layers as a share of their smaller side; none is the variant's."""
    edgeface_weights: str = "none"
    """Starting weights of EdgeFace: `none` (it is pretrained first), or a checkpoint file."""
    dsr_weights: str = "none"
    """Starting weights of DSR: `none` (it is trained first), or a checkpoint file."""
    other_data: bool = False
    """Go on with a DSR that was trained on other faces, instead of refusing it."""
    finetuned: bool = False
    """The starting EdgeFace was fine-tuned on DSR's outputs already: that stage is left out."""
    perceptual: str = "edgeface"
    """Features of the perceptual loss: a file with VGG-16 weights, `edgeface` (the recogniser's
    own first stage) or `none`."""
    far: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Share of false accepts at which true accepts are counted."""
    cache: bool = True
    """Keep DSR's outputs in the memory of the device while DSR is frozen."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        """Take what is not given from the preset."""
        if not isinstance(data, dict):
            return data
        return PRESETS.get(data.get("preset", "sample"), {}) | data


def shape_of(config: CyclicConfig) -> str:
    """Return what decides the shape of the models, as JSON."""
    return config.model_dump_json(include={"resolution", "blocks", "width", "edgeface", "gamma"})


def create(shape_json: str) -> tuple[DSR, EdgeFace]:
    """Return both models with random weights."""
    config = CyclicConfig.model_validate_json(shape_json)
    dsr = DSR(config.resolution, num_blocks=config.blocks, width=config.width)
    return dsr, EdgeFace(config.edgeface, gamma=config.gamma)


@lru_cache(maxsize=8)
def layer_groups(shape_json: str) -> dict[str, Layers]:
    """Return the layer groups of both models."""
    with torch.device("meta"):
        dsr, edgeface = create(shape_json)
    return {"dsr": layers_of_dsr(dsr), "edgeface": layers_of_edgeface(edgeface)}


@lru_cache(maxsize=4)
def _drawn(identities: int, images: int, seed: int) -> FaceData:
    return drawn_faces(identities, images, seed)


def load_data(config: CyclicConfig) -> FaceData:
    """Return the faces that a configuration names."""
    if config.data == "faces":
        return _drawn(config.identities, config.images, config.data_seed)
    return load_faces(config.data, held_out=config.held_out, skip_single=config.skip_single)
