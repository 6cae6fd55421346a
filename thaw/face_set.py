"""Drawn faces on disk, in the layout of VGGFace2."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from training.drawn_faces import Array, draw_faces, split_identities
from training.errors import UserError
from training.faces import identity_name


def write_faces(
    folder: Path, *, num_identities: int, num_images: int, seed: int, console: Console
) -> None:
    """Draw the faces of `num_identities` people into `folder`/train and `folder`/test.

    The same arguments give the same files. Nothing is left behind where drawing is interrupted.
    Raises `UserError` where the folder holds something.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder}: is there already, and nothing is overwritten; name a new one")
    aside = folder.absolute().with_name(f".{folder.name}.{uuid.uuid4().hex}")
    parts = dict(zip(("train", "test"), split_identities(num_identities), strict=True))

    def drawn() -> Iterator[tuple[Path, Array]]:
        for part, identities in parts.items():
            for identity, images in draw_faces(identities, num_images, seed):
                yield aside / part / identity_name(identity), images

    try:
        for target, images in track(drawn(), "drawing", total=num_identities, console=console):
            target.mkdir(parents=True)
            for number, pixels in enumerate(images):
                Image.fromarray(pixels).save(target / f"{number:04d}.png")
        aside.replace(folder)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    counts = ", ".join(f"{len(who)} people in {part}" for part, who in parts.items())
    console.print(
        f"wrote {folder}: {counts}, {num_images} images each; "
        f"try: thaw search cyclic_lambda --data {folder}",
        soft_wrap=True,
    )
