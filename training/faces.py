"""Aligned faces in a folder for each identity: the layout of LFW, VGGFace2 and CASIA-WebFace."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training.decoded import Progress, decoded
from training.drawn_faces import draw_faces, split_identities
from training.dsr import FACE
from training.errors import UserError
from training.images import Images

_TEST = ("test", "val")
_KINDS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"}
Listing = Mapping[str, Sequence[Path]]
"""Identity -> its images, both sorted."""


@dataclass(frozen=True)
class FaceData:
    """Faces of 112 px; nobody who is tested is trained on."""

    train: Images
    test: Images
    identities: tuple[str, ...]
    """Names of those who are trained on, in the order of the labels."""
    held_out: tuple[str, ...]
    """Names of those who are tested."""


def load_faces(
    root: str, *, held_out: float, skip_single: bool = False, progress: Progress | None = None
) -> FaceData:
    """Read `root`/train/<identity>/* and `root`/test/<identity>/*, or `root`/<identity>/*.

    In the second layout a share `held_out` of the identities, chosen by their names, is tested.
    Raises `UserError` for a folder that is missing or empty, an identity with one image (left out
    where `skip_single`), and an image that cannot be read or is not 112 px wide and high.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"data folder {root}: no such folder")
    train: Listing
    test: Listing
    split = next((name for name in _TEST if (folder / name).is_dir()), None)
    if split and (folder / "train").is_dir():
        train, test = (_list(folder / name, skip_single) for name in ("train", split))
        if both := sorted(set(train) & set(test)):
            raise UserError(
                f"data folder {root}: {both[0]} is in train and in {split} ({len(both)} such): "
                "who is tested must not be trained on"
            )
    else:
        train, test = _divide(_list(folder, skip_single), held_out, root)
    listings = (train, test)
    files = [path for listing in listings for paths in listing.values() for path in paths]
    for path in files:
        _check_size(path)
    found, _ = decoded(files, FACE, progress)
    pixels = torch.from_numpy(found).permute(0, 3, 1, 2)
    num_train = sum(map(len, train.values()))
    return FaceData(
        Images(pixels[:num_train], _labels(map(len, train.values()))),
        Images(pixels[num_train:], _labels(map(len, test.values()))),
        tuple(train),
        tuple(test),
    )


def drawn_faces(num_identities: int, num_images: int, seed: int) -> FaceData:
    """Return what `thaw data faces` writes with the same numbers, without writing it."""
    parts: list[Images] = []
    names: list[tuple[str, ...]] = []
    for identities in split_identities(num_identities):
        drawn = [images for _, images in draw_faces(identities, num_images, seed)]
        pixels = torch.from_numpy(np.concatenate(drawn)).permute(0, 3, 1, 2).contiguous()
        parts.append(Images(pixels, _labels([num_images] * len(identities))))
        names.append(tuple(identity_name(number) for number in identities))
    (train, test), (trained, tested) = parts, names
    return FaceData(train, test, trained, tested)


def identity_name(number: int) -> str:
    """Return the name of the folder of a drawn identity."""
    return f"id{number:05}"


def _labels(counts: Sequence[int] | map[int]) -> torch.Tensor:
    return torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])


def _list(folder: Path, skip_single: bool) -> dict[str, list[Path]]:
    found = {
        entry.name: sorted(p for p in entry.iterdir() if p.suffix.lower() in _KINDS)
        for entry in sorted(folder.iterdir())
        if entry.is_dir()
    }
    found = {name: paths for name, paths in found.items() if paths}
    single = [name for name, paths in found.items() if len(paths) == 1]
    if single and not skip_single:
        raise UserError(
            f"data folder {folder / single[0]}: one image ({len(single)} such identities); at "
            "least two are needed, one to know the face by; remove them, or --set skip_single=true"
        )
    for name in single:
        del found[name]
    if len(found) < 2:
        raise UserError(
            f"data folder {folder}: holds {len(found)} folders with images of an identity, at "
            "least 2 are needed"
        )
    return found


def _divide(listing: Listing, held_out: float, root: str) -> tuple[Listing, Listing]:
    """Hold out the identities whose hashed names come last."""
    order = sorted(listing, key=lambda name: hashlib.sha256(name.encode()).digest())
    num_test = max(2, round(len(order) * held_out))
    if len(order) - num_test < 2:
        raise UserError(
            f"data folder {root}: {len(order)} identities are too few to train on some and test on "
            "others; at least 4 are needed"
        )
    tested = set(order[-num_test:])
    train = {name: paths for name, paths in listing.items() if name not in tested}
    return train, {name: paths for name, paths in listing.items() if name in tested}


def _check_size(path: Path) -> None:
    """Raise `UserError` where an image is not 112 px wide and high; only its header is read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            size = image.size
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"image {path}: cannot be read ({error})") from None
    if size != (FACE, FACE):
        square = "" if size[0] == size[1] else ", not square"
        raise UserError(
            f"image {path}: is {size[0]} x {size[1]} px{square}; faces must be aligned and "
            f"{FACE} x {FACE} px"
        )
