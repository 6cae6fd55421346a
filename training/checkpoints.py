"""Weights that come from outside: checked against the model, and never unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import UserError

EPOCH, ITERATIONS = "epoch", "iterations"
"""Keys under which a checkpoint says for how many epochs, or optimizer steps, it was trained."""
DATA_DIGEST = "data_digest"
"""Key under which a checkpoint names the data it was trained on."""
NORMALISATION = "normalisation"
"""Key under which a checkpoint says what images in [0, 1] are normalised by: `mean` and `std`."""
_SHOWN = 4


def load_weights(
    model: nn.Module,
    path: str,
    *,
    ignore: Iterable[str],
    rename: Callable[[str], str | None] = lambda name: name,
    part: str = "",
    field: str = "weights",
) -> None:
    """Load a checkpoint into `model`; the parameters in `ignore` may differ or be missing.

    Takes a bare state dict, or one under `model_state_dict`, `backbone_state_dict` or `state_dict`;
    of several models, as `thaw best` writes them, the one called `part`. `rename` gives the model's
    name for a name in the file, None for what is not wanted. Raises `UserError` that names the
    layers which do not fit; `field` is the setting that named the file.
    """
    found = ((rename(name), value) for name, value in _read(path, part).items())
    weights = {name: value for name, value in found if name is not None}
    own = model.state_dict()
    skipped = set(ignore)
    wanted = [name for name in own if name not in skipped]
    missing = [name for name in wanted if name not in weights]
    strange = [name for name in weights if name not in own and name not in skipped]
    shapes = [
        f"{name} is {tuple(weights[name].shape)}, the model has {tuple(own[name].shape)}"
        for name in wanted
        if name in weights and weights[name].shape != own[name].shape
    ]
    findings = [
        f"{label} {_list(names)}"
        for label, names in (
            ("missing", missing),
            ("unknown", strange),
            ("of other shape:", shapes),
        )
        if names
    ]
    if findings:
        raise UserError(
            f"checkpoint {path}: does not fit the model: {'; '.join(findings)}. "
            f"Another architecture can only be trained from scratch ({field}=none)"
        )
    model.load_state_dict({name: weights[name] for name in wanted}, strict=False)


def checkpoint_epoch(path: str) -> int | None:
    """Return the number of epochs that a checkpoint says it was trained for, if it does."""
    return _count(path, EPOCH)


def checkpoint_iterations(path: str) -> int | None:
    """Return the optimizer steps that a checkpoint says it was trained for, if it does."""
    return _count(path, ITERATIONS)


def _count(path: str, name: str) -> int | None:
    data = _read_plain(path)
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def checkpoint_data(path: str) -> str | None:
    """Return the digest of the data that a checkpoint says it was trained on, if it does."""
    data = _read_plain(path)
    found = data.get(DATA_DIGEST) if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def checkpoint_normalisation(path: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return the mean and the spread of images that a checkpoint says it takes, if it does.

    Raises `UserError` where what it says is no such thing.
    """
    data = _read_plain(path)
    found = data.get(NORMALISATION) if isinstance(data, dict) else None
    if found is None:
        return None
    try:
        mean, std = (tuple(float(value) for value in found[name]) for name in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        mean = std = ()
    if not mean or not all(std) or len(mean) != len(std):
        raise UserError(f"checkpoint {path}: {NORMALISATION}: must have numbers as mean and std")
    return mean, std


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file; raise `UserError` where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"checkpoint {path}: {error.strerror}") from None


def _read_plain(path: str) -> Any:
    if not Path(path).is_file():
        raise UserError(f"checkpoint {path}: no such file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:  # torch's own words are about turning its protection off
        reason = "it is no file of torch.save, or holds more than tensors and plain data"
        raise UserError(f"checkpoint {path}: no plain torch checkpoint: {reason}") from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"checkpoint {path}: no plain torch checkpoint ({reason})") from None


def _read(path: str, part: str) -> dict[str, Tensor]:
    data = _read_plain(path)
    for name in ("model_state_dict", "backbone_state_dict", "state_dict", part):
        if isinstance(data, dict) and isinstance(data.get(name), dict):
            data = data[name]
    if not isinstance(data, dict) or not all(isinstance(v, Tensor) for v in data.values()):
        raise UserError(f"checkpoint {path}: holds no state dict of tensors")
    return {str(name).removeprefix("module."): value for name, value in data.items()}


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
