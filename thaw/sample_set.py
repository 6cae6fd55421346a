"""Sample data sets on disk, in the layout of COD10K-v3."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from thaw.new_folder import new_folder
from training.camouflage_folder import IMAGES, MASKS, SPLITS
from training.camouflage_sample import draw_scene
from training.errors import UserError

_TEST_SHARE = 4
_JPEG_QUALITY = 95


def write_sample_set(
    folder: Path, *, num: int, difficulty: float, size: int, seed: int, console: Console
) -> None:
    """Draw `num` scenes into `folder`, the last quarter of them for testing.

    The same arguments give the same files. Nothing is left behind where drawing is interrupted.
    Raises `UserError` where the folder holds something, or the difficulty is not from 0 to 1.
    """
    if not 0 <= difficulty <= 1:
        raise UserError(f"--difficulty {difficulty:g}: must be from 0 (plain) to 1 (invisible)")
    with new_folder(folder) as aside:
        for split in SPLITS:
            for part in (IMAGES, MASKS):
                (aside / split / part).mkdir(parents=True)
        num_test = num // _TEST_SHARE
        for number in track(range(num), "drawing", console=console):
            split = SPLITS[number >= num - num_test]
            pixels, mask = draw_scene(size, difficulty, (seed, number))
            name = f"camouflage-{number:05d}"
            Image.fromarray(pixels).save(
                aside / split / IMAGES / f"{name}.jpg", quality=_JPEG_QUALITY, subsampling=0
            )
            Image.fromarray(mask).save(aside / split / MASKS / f"{name}.png")
    console.print(
        f"wrote {folder}: {num - num_test} images for training, {num_test} for testing; "
        f"try: thaw search stage2_lr --data {folder}",
        soft_wrap=True,
    )
