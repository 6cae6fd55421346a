"""Street scenes on disk: images, labels, a label table, and strategies beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from rich.console import Console
from rich.progress import track

from thaw.new_folder import new_folder
from training.errors import unknown
from training.street_data import STRATEGY_FOLDER
from training.street_layout import LABELS
from training.street_sample import (
    BORDER,
    CLASSES,
    OWN_LABELS,
    STRATEGIES,
    WEATHER,
    Scene,
    adverse,
    draw_street,
    pixels_of,
)

_VAL_SHARE = 4
_JPEG_QUALITY = 95
_CLEAR = "clear"


def write_streets(
    folder: Path, *, num: int, weather: str, size: tuple[int, int], seed: int, console: Console
) -> None:
    """Draw `num` scenes of `size` (height, width) into `folder`, a quarter of them for validation.

    `weather` names the kinds of weather between commas; validation images take turns with clear
    ones. The same arguments give the same files, and nothing is left behind where drawing is
    interrupted. Raises `UserError` where the folder holds something, or a kind is unknown.
    """
    kinds = [kind.strip() for kind in weather.split(",")]
    for kind in kinds:
        if kind not in WEATHER:
            raise unknown("kind in --adverse", kind, WEATHER)
    num_val = num // _VAL_SHARE
    with new_folder(folder) as aside:
        before = draw_street(size, (seed, num))
        for number in track(range(num), "drawing", console=console):
            scene = draw_street(size, (seed, number))
            if number < num - num_val:
                _write_training(aside, number, scene, before, kinds, seed)
            else:
                domain = (_CLEAR, *kinds)[number % (1 + len(kinds))]
                if domain != _CLEAR:
                    scene = adverse(scene, domain, (seed, number, 1))
                _save(aside, f"val/{domain}", number, scene)
            before = scene
        _write_table(aside / LABELS)
    console.print(
        f"wrote {folder}: {num - num_val} images for training, {num_val} for validation, "
        f"strategies {', '.join(STRATEGIES)}; "
        f"try: thaw search training_length --data {folder} --set strategy=gen_real",
        soft_wrap=True,
    )


def _write_training(
    root: Path,
    number: int,
    scene: Scene,
    other: Scene,
    kinds: list[str],
    seed: int,
) -> None:
    _save(root, f"train/{_CLEAR}", number, scene)
    for name, make in STRATEGIES.items():
        variant = make(scene, other, kinds[number % len(kinds)], (seed, number, 2))
        below = root / STRATEGY_FOLDER / name
        _save_part(below / "images" / _CLEAR, number, pixels_of(*variant)[..., :3])
        if name in OWN_LABELS:
            _save_part(below / "labels" / _CLEAR, number, variant[1])


def _save(root: Path, split: str, number: int, scene: Scene) -> None:
    _save_part(root / "images" / split, number, pixels_of(*scene)[..., :3])
    _save_part(root / "labels" / split, number, scene[1])


def _save_part(folder: Path, number: int, pixels: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if image.mode == "RGB":
        image.save(folder / f"{number:05d}.jpg", quality=_JPEG_QUALITY, subsampling=0)
    else:
        image.save(folder / f"{number:05d}.png")


def _write_table(path: Path) -> None:
    classes = {name: [value] for value, name in enumerate(CLASSES)}
    table = {"classes": classes, "ignored": [BORDER]}
    path.write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")
