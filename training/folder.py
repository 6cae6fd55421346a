"""A folder of images per class, decoded once into a memory-mapped cache of uint8 pixels."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from training.errors import UserError
from training.images import Images, LabelledData

_KINDS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}
Progress = Callable[[int, int], None]
"""Called with the number of images decoded and the number of all."""


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
    pixels = torch.from_numpy(_cached(files, image_size, progress)).permute(0, 3, 1, 2)
    labels = torch.tensor(
        [label for s in listed.values() for label, name in enumerate(classes) for _ in s[name]]
    )
    num_train = sum(len(paths) for paths in listed["train"].values())
    return LabelledData(
        Images(pixels[:num_train], labels[:num_train]),
        Images(pixels[num_train:], labels[num_train:]),
        classes,
    )


def _list_split(folder: Path) -> dict[str, list[Path]]:
    """Return class name -> image files, both sorted."""
    if not folder.is_dir():
        raise UserError(f"data folder {folder}: no such folder")
    found = {
        entry.name: sorted(p for p in entry.iterdir() if p.suffix.lower() in _KINDS)
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


def _cached(files: Sequence[Path], size: int, progress: Progress | None) -> np.ndarray:
    """Return (N, size, size, 3) uint8, mapped from the cache file, which is made when needed."""
    stats = [path.stat() for path in files]
    listing = [
        [str(p.resolve()), s.st_size, s.st_mtime_ns] for p, s in zip(files, stats, strict=True)
    ]
    name = hashlib.sha256(json.dumps([size, listing]).encode()).hexdigest()[:32]
    target = cache_folder() / f"images-{name}.npy"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_suffix(f".{uuid.uuid4().hex}.npy")  # two builders do no harm
        try:
            _decode_all(files, size, aside, progress)
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)
    # copy-on-write: torch wants writable memory
    mapped: np.ndarray = np.load(target, mmap_mode="c")
    return mapped


def _decode_all(files: Sequence[Path], size: int, target: Path, progress: Progress | None) -> None:
    shape = (len(files), size, size, 3)
    pixels = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for index, image in enumerate(pool.map(lambda path: _decode(path, size), files)):
            pixels[index] = image
            if progress is not None:
                progress(index + 1, len(files))
    pixels.flush()


def _decode(path: Path, size: int) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return np.asarray(
                ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
            )
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"image {path}: cannot be read ({error})") from None


def cache_folder() -> Path:
    """Return where decoded images are kept: `$THAW_CACHE`, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("THAW_CACHE") or f"{base}/thaw")
