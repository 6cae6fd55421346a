"""A folder with a folder of images for each class, decoded once."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from training.decoded import Progress, decoded
from training.errors import UserError
from training.images import Images, LabelledData

_KINDS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}


def load_folder(root: str, image_size: int, progress: Progress | None = None) -> LabelledData:
    """Read `root`/train/<class>/* and `root`/val/<class>/* as square RGB images.

    The shorter side is scaled to `image_size` and the middle is kept. Raises `UserError` for a
    missing or empty folder, classes that differ, or an image that cannot be read (named).
    """
    if not Path(root).is_dir():
        raise UserError(f"data folder {root}: no such folder")
    listed = {split: _list_split(Path(root) / split) for split in ("train", "val")}
    classes = tuple(listed["train"])
    if classes != tuple(listed["val"]):
        differing = sorted(set(listed["train"]) ^ set(listed["val"]))
        raise UserError(
            f"data folder {root}: train and val must have the same class folders; "
            f"only in one of them: {', '.join(differing[:5])}"
        )
    files = [path for split in listed.values() for paths in split.values() for path in paths]
    array, digest = decoded(files, image_size, progress)
    pixels = torch.from_numpy(array).permute(0, 3, 1, 2)
    labels = torch.tensor(
        [label for s in listed.values() for label, name in enumerate(classes) for _ in s[name]]
    )
    num_train = sum(len(paths) for paths in listed["train"].values())
    return LabelledData(
        Images(pixels[:num_train], labels[:num_train]),
        Images(pixels[num_train:], labels[num_train:]),
        classes,
        digest,
    )


def _list_split(folder: Path) -> dict[str, list[Path]]:
    """Return class name -> image files, both sorted."""
    if not folder.is_dir():
        raise UserError(f"data folder {folder}: no such folder")
    found = {
        entry.name: [entry / name for name in sorted(os.listdir(entry)) if _is_image(name)]
        for entry in sorted(folder.iterdir())
        if entry.is_dir()
    }
    if not found:
        raise UserError(f"data folder {folder}: holds no class folders")
    for name, paths in found.items():
        if not paths:
            raise UserError(
                f"data folder {folder / name}: holds no images ({', '.join(sorted(_KINDS))})"
            )
    return found


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _KINDS
