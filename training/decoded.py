"""Decoded images on disk: made once for a list of files and a size, mapped into memory after that.

A cache appears whole under its name or not at all. Whoever builds one holds a lock, so that another
builder waits and then finds it; the lock ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from training.errors import UserError

Progress = Callable[[int, int], None]
"""Called with the number of images decoded and the number of all."""

_LAYOUT = 2
_DIGEST_BYTES = 32
_CHUNK = 512
"""Images that may be decoded and not yet written: bounds the memory."""


def decoded(
    files: Sequence[Path], size: int, progress: Progress | None = None
) -> tuple[np.ndarray, str]:
    """Return the pixels of `files`, (N, size, size, 3) uint8, and the SHA-256 of them.

    They are mapped from a file that is made when it is needed: one for each list of files with
    their sizes and times of change. What is written to the array does not reach the file. Raises
    `UserError` for an image that cannot be read.
    """
    listing = json.dumps([_LAYOUT, size, _listing(files)])
    name = hashlib.sha256(listing.encode()).hexdigest()[:32]
    target = cache_folder() / f"images-{name}.npy"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_suffix(".lock")) as alone:
            if alone:
                _clear(target)
            if not target.exists():
                _build(files, size, target, progress)
    pixels: np.ndarray = np.load(target, mmap_mode="c")  # torch wants writable memory
    with open(target, "rb") as file:
        file.seek(-_DIGEST_BYTES, os.SEEK_END)
        return pixels, file.read().hex()


def _listing(files: Sequence[Path]) -> list[list[str | int]]:
    """Return the path, size in bytes and time of change of each file."""
    folders = {folder: str(folder.resolve()) for folder in {path.parent for path in files}}
    found: list[list[str | int]] = []
    for path in files:
        stat = os.stat(path)
        found.append([f"{folders[path.parent]}/{path.name}", stat.st_size, stat.st_mtime_ns])
    return found


def cache_folder() -> Path:
    """Return where decoded images are kept: `$THAW_CACHE`, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("THAW_CACHE") or f"{base}/thaw")


def _build(files: Sequence[Path], size: int, target: Path, progress: Progress | None) -> None:
    """Decode into a file aside, add the digest, and rename it; a failure leaves nothing."""
    aside = target.with_suffix(f".{uuid.uuid4().hex}.part")
    try:
        digest = _decode_all(files, size, aside, progress)
        with open(aside, "ab") as file:
            file.write(digest)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def _clear(target: Path) -> None:
    """Remove what builders of `target` left that were killed."""
    for path in target.parent.glob(f"{target.stem}.*.part"):
        path.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock `path` and remove it in the end; yield False where files cannot be locked."""
    while True:
        with open(path, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:  # each builder then makes a cache of its own, and the last one stays
                yield False
                return
            if _is(path, file.fileno()):  # else whoever held it has removed it meanwhile
                try:
                    yield True
                finally:
                    path.unlink(missing_ok=True)
                return


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _decode_all(files: Sequence[Path], size: int, target: Path, progress: Progress | None) -> bytes:
    shape = (len(files), size, size, 3)
    pixels = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape)
    digest = hashlib.sha256()
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for begin in range(0, len(files), _CHUNK):
            images = pool.map(lambda path: _decode(path, size), files[begin : begin + _CHUNK])
            for index, image in enumerate(images, begin):
                pixels[index] = image
                digest.update(image.data)
                if progress is not None:
                    progress(index + 1, len(files))
    finally:
        pool.shutdown(cancel_futures=True)
    pixels.flush()
    return digest.digest()


def _decode(path: Path, size: int) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return np.ascontiguousarray(
                ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
            )
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"image {path}: cannot be read ({error})") from None
