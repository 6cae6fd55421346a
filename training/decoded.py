"""Decoded images on disk: made once for a list of files and a size, mapped into memory after that.

A cache appears whole under its name or not at all. Whoever builds one holds a lock, so that another
builder waits and then finds it; the lock ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from training.errors import UserError
from training.pulse import beat, beating

Progress = Callable[[int, int], None]
"""Called with the number of images decoded and the number of all."""
Example = tuple[Path, ...]
"""The files of one example: an image, or an image and its mask."""
KINDS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}
"""Endings of image files, in lower case."""

_LAYOUT = 2
_DIGEST_BYTES = 32
_CHUNK = 512
"""Images that may be decoded and not yet written: bounds the memory."""
_WAIT_S = 0.2


def decoded(
    files: Sequence[Path], size: int, progress: Progress | None = None
) -> tuple[np.ndarray, str]:
    """Return the pixels of `files`, (N, size, size, 3) uint8, and the SHA-256 of them.

    Raises `UserError` for an image that cannot be read.
    """
    return decoded_examples(
        [(path,) for path in files],
        lambda example: _decode(example[0], size),
        kind="images",
        shape=(size, size, 3),
        progress=progress,
    )


def decoded_examples(
    examples: Sequence[Example],
    decode: Callable[[Example], np.ndarray],
    *,
    kind: str,
    shape: tuple[int, int, int],
    progress: Progress | None = None,
) -> tuple[np.ndarray, str]:
    """Return what `decode` makes of each example, (N, *shape) uint8, and the SHA-256 of it.

    It is mapped from a file that is made when it is needed: one for each `kind`, which stands for
    what `decode` does, `shape`, and list of files with their sizes and times of change. What is
    written to the array does not reach the file.
    """
    files = [path for example in examples for path in example]
    listing = json.dumps([_LAYOUT, shape, _listing(files)])
    name = hashlib.sha256(listing.encode()).hexdigest()[:32]
    target = cache_folder() / f"{kind}-{name}.npy"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_suffix(".lock")) as alone:
            if alone:
                _clear(target)
            if not target.exists():
                _build(examples, decode, shape, target, progress)
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


def _build(
    examples: Sequence[Example],
    decode: Callable[[Example], np.ndarray],
    shape: tuple[int, int, int],
    target: Path,
    progress: Progress | None,
) -> None:
    """Decode into a file aside, add the digest, and rename it; a failure leaves nothing."""
    aside = target.with_suffix(f".{uuid.uuid4().hex}.part")
    try:
        digest = _decode_all(examples, decode, shape, aside, progress)
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
                while not _locks(file):
                    beat()
                    time.sleep(_WAIT_S)
            except OSError:  # each builder then makes a cache of its own, and the last one stays
                yield False
                return
            if _is(path, file.fileno()):  # else whoever held it has removed it meanwhile
                try:
                    yield True
                finally:
                    path.unlink(missing_ok=True)
                return


def _locks(file: IO[str]) -> bool:
    """Lock `file`, if nobody else has; raise `OSError` where files cannot be locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _decode_all(
    examples: Sequence[Example],
    decode: Callable[[Example], np.ndarray],
    shape: tuple[int, int, int],
    target: Path,
    progress: Progress | None,
) -> bytes:
    whole = (len(examples), *shape)
    pixels = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=whole)
    digest = hashlib.sha256()
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for begin in range(0, len(examples), _CHUNK):
            images = pool.map(decode, examples[begin : begin + _CHUNK])
            for index, image in enumerate(beating(images), begin):
                pixels[index] = image
                digest.update(image.data)
                if progress is not None:
                    progress(index + 1, len(examples))
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
