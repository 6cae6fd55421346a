"""Drawn faces on disk, in the layout of VGGFace2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from thaw.new_folder import new_folder
from training.drawn_faces import Array, draw_faces, split_identities
from training.faces import identity_name


def write_faces(
    folder: Path, *, num_identities: int, num_images: int, seed: int, console: Console
) -> None:
    """Draw the faces of `num_identities` people into `folder`/train and `folder`/test.

    The same arguments give the same files. Nothing is left behind where drawing is interrupted.
    Raises `UserError` where the folder holds something.
    """
    parts = dict(zip(("train", "test"), split_identities(num_identities), strict=True))

    def drawn() -> Iterator[tuple[str, Array]]:
        for part, identities in parts.items():
            for identity, images in draw_faces(identities, num_images, seed):
                yield f"{part}/{identity_name(identity)}", images

    with new_folder(folder) as aside:
        for below, images in track(drawn(), "drawing", total=num_identities, console=console):
            target = aside / below
            target.mkdir(parents=True)
            for number, pixels in enumerate(images):
                Image.fromarray(pixels).save(target / f"{number:04d}.png")
    counts = ", ".join(f"{len(who)} people in {part}" for part, who in parts.items())
    console.print(
        f"wrote {folder}: {counts}, {num_images} images each; "
        f"try: thaw search cyclic_lambda --data {folder}",
        soft_wrap=True,
    )
