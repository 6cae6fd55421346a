"""Where a street data set has its images and labels, and what the values in its labels mean.

Everything is told by one YAML file, the label table, `labels.yaml` in the folder of the data:

    classes:            # name -> the values that label images have for it
      road: [7]
      sidewalk: [8]
    ignored: [0, 255]   # values of pixels that count for nothing
    layout: bdd10k      # optional: one of `LAYOUTS`, or the fields of `Layout`
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import yaml
from pydantic import Field, model_validator

from training.config import Config
from training.decoded import KINDS
from training.errors import UserError, unknown

LABELS = "labels.yaml"
IGNORED = 255
"""Class of pixels that count for nothing."""
_UNKNOWN = 254
_MOST_VALUE = 65_535
Value = Annotated[int, Field(ge=0, le=_MOST_VALUE)]


class Layout(Config):
    """Folders of a data set, below its own; images may lie in folders below, one a domain."""

    images: str = "images/{split}"
    """Folder of the images of a split."""
    labels: str = "labels/{split}"
    """Folder of their label images, with the same folders below."""
    train: str = "train"
    """Name of the split that is trained on."""
    val: str = "val"
    """Name of the split that is evaluated on."""
    image_suffix: str = ""
    """How the names of images end, before the dot, where those of labels do not."""
    label_suffix: str = ""
    """How the names of labels end, before the dot, where those of images do not."""


LAYOUTS = {
    "cityscapes_like": Layout(),
    "bdd10k": Layout(images="images/10k/{split}", labels="labels/sem_seg/masks/{split}"),
    "idd_aw": Layout(
        images="{split}/rgb",
        labels="{split}/gtSeg",
        image_suffix="_rgb",
        label_suffix="_mask",
    ),
    "mapillary": Layout(
        images="{split}/images", labels="{split}/labels", train="training", val="validation"
    ),
}
"""Name -> layout: the plain one; BDD100K's 10k images; IDD-AW; Mapillary Vistas 1.2."""


class LabelTable(Config):
    """The label table: classes by the values of label images, and the layout of the folders."""

    classes: Annotated[dict[str, tuple[Value, ...]], Field(min_length=2, max_length=_UNKNOWN)]
    """Class -> values of its pixels; the classes are numbered in this order."""
    ignored: tuple[Value, ...] = (IGNORED,)
    """Values of pixels that count for nothing."""
    layout: Layout | str = "cityscapes_like"
    """Where images and labels lie."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        owners: dict[int, str] = dict.fromkeys(self.ignored, "ignored")
        for name, values in self.classes.items():
            for value in values:
                if owners.setdefault(value, name) != name:
                    raise ValueError(f"classes.{name}: {value} is in {owners[value]!r} already")
        if isinstance(self.layout, str) and self.layout not in LAYOUTS:
            raise unknown("layout", self.layout, LAYOUTS)
        return self

    @classmethod
    def read(cls, path: Path) -> LabelTable:
        """Read a YAML file; raise `UserError` that names the file and the field."""
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"label table {path}: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(
                f"label table {path}: no YAML ({' '.join(str(error).split())})"
            ) from None
        if not isinstance(data, dict):
            raise UserError(f"label table {path}: must hold the field `classes`")
        return cls.parse(data, f"label table {path}")

    @property
    def folders(self) -> Layout:
        """Return the layout, also where only its name was given."""
        return LAYOUTS[self.layout] if isinstance(self.layout, str) else self.layout

    def digest(self) -> str:
        """Return the SHA-256 of what values mean."""
        meant = repr((list(self.classes.items()), sorted(self.ignored)))
        return hashlib.sha256(meant.encode()).hexdigest()

    def read_labels(self, values: np.ndarray, path: Path) -> np.ndarray:
        """Return (H, W) uint8 classes; raise `UserError` for a value that the table has not."""
        meaning = np.full(_MOST_VALUE + 1, _UNKNOWN, np.uint8)
        meaning[list(self.ignored)] = IGNORED
        for number, known in enumerate(self.classes.values()):
            meaning[list(known)] = number
        found = meaning[values]
        strange = values[found == _UNKNOWN]
        if len(strange):
            shown = np.unique(strange)
            raise UserError(
                f"label {path}: {len(strange)} pixels have a value that is not in the label table: "
                f"{', '.join(map(str, shown[:5]))}{', ...' if len(shown) > 5 else ''}; "
                "put it under classes or ignored"
            )
        return np.asarray(found)


@dataclass(frozen=True)
class Pair:
    """An image with its labels."""

    key: str
    """Path below the folder of the split, without suffix and ending."""
    image: Path
    labels: Path

    @property
    def domain(self) -> str:
        """Return the first folder below that of the split, "" where there is none."""
        return self.key.split("/")[0] if "/" in self.key else ""


def pairs_of(root: Path, layout: Layout, split: str) -> list[Pair]:
    """Return the images of a split with their labels, sorted; raise `UserError` where one lacks."""
    folders = [root / part.format(split=split) for part in (layout.images, layout.labels)]
    images = images_in(folders[0], layout.image_suffix)
    labels = images_in(folders[1], layout.label_suffix)
    for there, missing, what, folder in (
        (images, labels, "labels", folders[1]),
        (labels, images, "image", folders[0]),
    ):
        lonely = [key for key in there if key not in missing]
        if lonely:
            more = f" (and {len(lonely) - 1} more like it)" if len(lonely) > 1 else ""
            raise UserError(f"{there[lonely[0]]}: has no {what} in {folder}{more}")
    return [Pair(key, path, labels[key]) for key, path in images.items()]


def images_in(folder: Path, suffix: str = "") -> dict[str, Path]:
    """Return key -> image file in and below `folder`, sorted; raise `UserError` for none."""
    if not folder.is_dir():
        raise UserError(f"data folder {folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in KINDS or not path.stem.endswith(suffix):
            continue
        key = path.relative_to(folder).with_suffix("").as_posix().removesuffix(suffix)
        if key in found:
            raise UserError(f"{path}: has the name of {found[key]}; keep one of them")
        found[key] = path
    if not found:
        ending = f"*{suffix}" if suffix else "*"
        kinds = ", ".join(sorted(KINDS))
        raise UserError(f"data folder {folder}: holds no images {ending} of these kinds: {kinds}")
    return found


def decode_pair(
    image_path: Path, label_path: Path, table: LabelTable, size: tuple[int, int]
) -> np.ndarray:
    """Return (height, width, 4) uint8: an image and its classes, squeezed to `size`.

    Images are scaled bilinearly, classes by the nearest pixel. Raises `UserError` where the two
    differ in size, labels are no numbers, or a file cannot be read.
    """
    from PIL import Image

    image, labels = _open(image_path), _open(label_path)
    if image.size != labels.size:
        raise UserError(
            f"label {label_path}: is {_px(labels)}, its image {image_path.name} is {_px(image)}; "
            "they must have the same size"
        )
    if labels.mode not in ("L", "P", "1", "I", "I;16"):
        raise UserError(
            f"label {label_path}: is a colour image ({labels.mode}); wanted: one number a pixel"
        )
    values = np.asarray(labels).astype(np.int64)
    if values.min() < 0 or values.max() > _MOST_VALUE:
        raise UserError(f"label {label_path}: has values beyond 0 .. {_MOST_VALUE}")
    height, width = size
    classes = Image.fromarray(table.read_labels(values, label_path))
    small = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    chosen = classes.resize((width, height), Image.Resampling.NEAREST)
    return np.ascontiguousarray(np.dstack([np.asarray(small), np.asarray(chosen)]))


def _open(path: Path) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"image {path}: cannot be read ({error})") from None


def _px(image: Any) -> str:
    return f"{image.width} x {image.height} px"
