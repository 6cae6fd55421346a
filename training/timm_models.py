"""Models of timm by name: how they are made, and what is known of the weights they start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from training.checkpoints import checkpoint_normalisation
from training.errors import UserError, unknown
from training.images import per_channel

if TYPE_CHECKING:
    from training.classification import ClassifierConfig


def create(config: ClassifierConfig, channels: int, *, pretrained: bool) -> nn.Module:
    """Return the timm model with a small head; the real one comes with the first data set."""
    import timm

    if config.model not in timm.list_models():
        raise no_model(config.model, timm.list_models())
    options: dict[str, Any] = {}
    if config.drop_rate:
        options["drop_rate"] = config.drop_rate
    if config.drop_path_rate:
        options["drop_path_rate"] = config.drop_path_rate
    known = timm.get_pretrained_cfg(config.model, allow_unregistered=True)
    if known is not None and known.fixed_input_size:
        options["img_size"] = config.image_size
    try:
        model: nn.Module = timm.create_model(
            config.model,
            pretrained=pretrained,
            num_classes=2,
            in_chans=channels,
            **options,
        )
    except (AssertionError, ValueError, ZeroDivisionError) as error:
        if "img_size" not in options:
            raise
        raise UserError(
            f"image_size: {config.model} cannot be made for {config.image_size} px ({error})"
        ) from None
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise UserError(f"weights timm: {config.model}: {str(error).splitlines()[0]}") from None
    return model


def classifier_names(model: nn.Module) -> list[str]:
    """Return the names of what a new head replaces; the layer group `head` may hold more."""
    layers = model.get_classifier()  # type: ignore[operator]
    layers = layers if isinstance(layers, tuple) else (layers,)  # distilled models have two
    replaced = {id(parameter) for layer in layers for parameter in layer.parameters()}
    return [name for name, value in model.named_parameters() if id(value) in replaced]


def no_model(name: str, names: list[str]) -> UserError:
    """Return the error for a name that timm does not have among its `names`."""
    hint = str(unknown("model", name, names)).split("; allowed:")[0]
    return UserError(f"{hint}; allowed: any of timm's {len(names)} models (timm.list_models())")


def published(model: str) -> str:
    """Return which weights `timm` stands for: the next version of the library may have others."""
    import timm

    known = timm.get_pretrained_cfg(model)
    return "" if known is None else f"{known.hf_hub_id} {known.tag} {known.url or ''}".rstrip()


class Normalisation(NamedTuple):
    """Mean and spread that are taken out of images in [0, 1], for each channel or for all."""

    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)

    def of(self, channels: int, device: torch.device) -> tuple[float | Tensor, float | Tensor]:
        """Return both as (C, 1, 1) on `device`, or as numbers where channels are alike."""
        return _of(self.mean, channels, device), _of(self.std, channels, device)


def normalisation_of(config: ClassifierConfig) -> Normalisation:
    """Return what the starting weights were trained with, where that is known."""
    if config.weights == "none":
        return Normalisation()
    if config.weights != "timm":
        found = checkpoint_normalisation(config.weights)
        return Normalisation() if found is None else Normalisation(*found)
    import timm

    known = timm.get_pretrained_cfg(config.model)
    return Normalisation() if known is None else Normalisation(known.mean, known.std)


def _of(values: tuple[float, ...], channels: int, device: torch.device) -> float | Tensor:
    """timm gives a first layer for other channels the sum or the mean of its weights."""
    if len(set(values)) == 1:
        return values[0]
    return per_channel(values, device) if channels == len(values) else sum(values) / len(values)
