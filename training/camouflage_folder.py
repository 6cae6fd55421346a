"""COD10K and what is laid out like it: Train and Test, each with Image and GT_Object.

Fan, Ji, Sun, Cheng, Shen, Shao, Camouflaged Object Detection, CVPR 2020 (COD10K-v3). An image and
its mask have the same stem. What is refused and what is mended:

- an image without a mask, or a mask without an image: refused;
- a mask of another size than its image: refused, since nobody can tell which of them is wrong;
- a mask that is not binary: refused. It is binary where its values are 0 and 1, or where all but
  one in fifty lie near 0 or 255: soft edges, as scaling and JPEG make them, are cut in the middle;
- a grey image: kept, its one channel three times; an alpha channel: dropped;
- an empty mask: kept. COD10K's images without any object (`NonCAM` in the name) are left out,
  as its own protocol does, unless they are asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.decoded import KINDS, Example, Progress, decoded_examples
from training.errors import UserError
from training.masked import MaskedData, MaskedImages

SPLITS = ("Train", "Test")
IMAGES, MASKS = "Image", "GT_Object"
_EMPTY_NAME = "NonCAM"
_SOFT_SHARE = 0.02
_NEAR = 25  # of 255


def load_camouflage(
    root: str, image_size: int, *, with_empty: bool = False, progress: Progress | None = None
) -> MaskedData:
    """Read images and masks, each squeezed to a square of `image_size` px.

    Nothing is cut off: where the object is must not be lost. Raises `UserError` that names the
    file and what is wrong with it.
    """
    if not Path(root).is_dir():
        raise UserError(f"data folder {root}: no such folder")
    train, test = (_pairs(Path(root) / split, with_empty) for split in SPLITS)
    cached, digest = decoded_examples(
        [*train, *test],
        lambda example: _decode(example, image_size),
        kind="masked-images",
        shape=(image_size, image_size, 4),
        progress=progress,
    )
    pixels = torch.from_numpy(cached).permute(0, 3, 1, 2)
    parts = MaskedImages(pixels[: len(train)]), MaskedImages(pixels[len(train) :])
    return MaskedData(*parts, digest=digest)


def _pairs(folder: Path, with_empty: bool) -> list[Example]:
    images, masks = (_by_stem(folder / part, with_empty) for part in (IMAGES, MASKS))
    if not images:
        raise UserError(
            f"data folder {folder / IMAGES}: holds no images ({', '.join(sorted(KINDS))})"
        )
    for there, missing, what in ((images, masks, "mask"), (masks, images, "image")):
        lonely = [path for stem, path in there.items() if stem not in missing]
        if lonely:
            more = f" (and {len(lonely) - 1} more like it)" if len(lonely) > 1 else ""
            other = folder / (MASKS if what == "mask" else IMAGES)
            raise UserError(f"{lonely[0]}: has no {what} {other / lonely[0].stem}.*{more}")
    return [(path, masks[stem]) for stem, path in images.items()]


def _by_stem(folder: Path, with_empty: bool) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(
            f"data folder {folder}: no such folder; wanted: "
            + ", ".join(f"{split}/{part}" for split in SPLITS for part in (IMAGES, MASKS))
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in KINDS or (_EMPTY_NAME in path.name and not with_empty):
            continue
        if path.stem in found:
            raise UserError(f"{path}: has the name of {found[path.stem]}; keep one of them")
        found[path.stem] = path
    return found


def _decode(example: Example, size: int) -> np.ndarray:
    """Return (size, size, 4) uint8: the image and its mask, 0 or 255."""
    from PIL import Image

    image, mask = (_read(path, mode) for path, mode in zip(example, ("RGB", "L"), strict=True))
    if image.size != mask.size:
        raise UserError(
            f"mask {example[1]}: is {_px(mask)}, its image {example[0].name} is {_px(image)}; "
            "they must have the same size"
        )
    binary = Image.fromarray(_binary(np.asarray(mask), example[1]))
    small = image.resize((size, size), Image.Resampling.BILINEAR)
    cut = np.asarray(binary.resize((size, size), Image.Resampling.BILINEAR)) >= 128
    return np.ascontiguousarray(np.dstack([np.asarray(small), cut.astype(np.uint8) * 255]))


def _read(path: Path, mode: str) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"image {path}: cannot be read ({error})") from None


def _binary(values: np.ndarray, path: Path) -> np.ndarray:
    """Return (H, W) uint8 of 0 and 255; raise `UserError` for a mask that is not binary."""
    if values.max() <= 1:
        return values * np.uint8(255)
    soft = np.mean((values > _NEAR) & (values < 255 - _NEAR))
    if soft > _SOFT_SHARE:
        raise UserError(
            f"mask {path}: is not binary: {100 * soft:.0f} % of its pixels lie between black and "
            f"white ({len(np.unique(values))} different values); at most {100 * _SOFT_SHARE:.0f} % "
            "are taken for soft edges"
        )
    return np.where(values >= 128, np.uint8(255), np.uint8(0))


def _px(image: Any) -> str:
    return f"{image.width} x {image.height} px"
