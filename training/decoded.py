"""Files decoded once into a memory-mapped cache of uint8 pixels."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from training.errors import UserError

KINDS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}
"""Endings of image files, in lower case."""
Progress = Callable[[int, int], None]
"""Called with the number of examples decoded and the number of all."""
Example = tuple[Path, ...]
"""The files of one example: an image, or an image and its mask."""


def decoded(
    examples: Sequence[Example],
    decode: Callable[[Example], np.ndarray],
    *,
    kind: str,
    shape: tuple[int, int, int],
    progress: Progress | None = None,
) -> np.ndarray:
    """Return (N, *shape) uint8, mapped from the cache file, which is made when needed.

    The file is found again by `kind`, `shape` and the path, size and time of every file; `kind`
    stands for what `decode` does.
    """
    listing = [[_seen(path) for path in example] for example in examples]
    name = hashlib.sha256(json.dumps([shape, listing]).encode()).hexdigest()[:32]
    target = cache_folder() / f"{kind}-{name}.npy"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_suffix(f".{uuid.uuid4().hex}.npy")  # two builders do no harm
        try:
            _decode_all(examples, decode, shape, aside, progress)
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)
    # copy-on-write: torch wants writable memory
    mapped: np.ndarray = np.load(target, mmap_mode="c")
    return mapped


def _seen(path: Path) -> list[str | int]:
    found = path.stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]


def _decode_all(
    examples: Sequence[Example],
    decode: Callable[[Example], np.ndarray],
    shape: tuple[int, int, int],
    target: Path,
    progress: Progress | None,
) -> None:
    whole = (len(examples), *shape)
    pixels = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=whole)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for index, example in enumerate(pool.map(decode, examples)):
                pixels[index] = example
                if progress is not None:
                    progress(index + 1, len(examples))
        finally:
            pool.shutdown(cancel_futures=True)  # a bad file is told at once
    pixels.flush()


def unreadable(path: Path, error: Exception) -> UserError:
    """Return the error for an image file that cannot be decoded."""
    return UserError(f"image {path}: cannot be read ({error})")


def cache_folder() -> Path:
    """Return where decoded images are kept: `$THAW_CACHE`, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("THAW_CACHE") or f"{base}/thaw")
