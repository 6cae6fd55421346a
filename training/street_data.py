"""Street data sets: from a folder with a label table and strategies, or drawn and embedded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from training.decoded import Progress, decoded_examples
from training.errors import UserError, unknown
from training.scenes import Scenes, StreetData, Variants
from training.street_layout import (
    LABELS,
    LabelTable,
    Pair,
    decode_pair,
    images_in,
    pairs_of,
)
from training.street_sample import CLASSES, STRATEGIES, WEATHER, adverse, draw_street, pixels_of

SAMPLE = "sample"
"""Name of the data set that needs no files."""
NO_STRATEGY = "none"
STRATEGY_FOLDER = "strategies"
_SAMPLE_TRAIN, _SAMPLE_VAL = 96, 32
_APART = "__"
"""What stands between a training image's name and the number of its variant."""


def load_streets(
    root: str, size: tuple[int, int], strategy: str = NO_STRATEGY, progress: Progress | None = None
) -> StreetData:
    """Read a data set squeezed to `size` (height, width), and a strategy's images.

    `strategy` is the name of a folder in `strategies`, or the path of one. Raises `UserError` that
    names the file and what is wrong with it.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"data folder {root}: no such folder")
    table = LabelTable.read(folder / LABELS)
    splits = [pairs_of(folder, table.folders, split) for split in _splits(table)]
    variants = _variants(folder, table, splits[0], strategy)
    train, val = splits
    pairs = [*train, *val, *(pair for found in variants for pair in found)]
    cached, digest = decoded_examples(
        [(pair.image, pair.labels) for pair in pairs],
        lambda example: decode_pair(example[0], example[1], table, size),
        kind=f"streets-{table.digest()[:16]}",
        shape=(*size, 4),
        progress=progress,
    )
    pixels = torch.from_numpy(cached)
    domains = tuple(sorted({pair.domain for pair in val} - {""}))
    every = bool(domains) and all(pair.domain for pair in val)
    return StreetData(
        train=Scenes(pixels[: len(train)]),
        val=Scenes(pixels[len(train) : len(train) + len(val)]),
        classes=tuple(table.classes),
        domains=domains if every else (),
        domain_of=torch.tensor([domains.index(p.domain) for p in val] if every else []).long(),
        digest=_digest(digest, table.digest(), str([len(train), len(val)]), str(domains)),
        variants=_placed(Scenes(pixels[len(train) + len(val) :]), [len(v) for v in variants]),
    )


def _splits(table: LabelTable) -> tuple[str, str]:
    return table.folders.train, table.folders.val


def _digest(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


def _placed(scenes: Scenes, counts: Sequence[int]) -> Variants | None:
    if not counts:
        return None
    return Variants(scenes, torch.tensor([0, *np.cumsum(counts)], dtype=torch.int64))


def _variants(
    root: Path, table: LabelTable, train: Sequence[Pair], strategy: str
) -> list[list[Pair]]:
    """Return the variants of each training image, in the order of `train`; none for no strategy.

    A variant has the name of its image, with or without the layout's suffix, or that, two
    underscores and anything. It has labels of its own where the strategy has a folder of them, else
    those of its image.
    """
    if strategy == NO_STRATEGY:
        return []
    folder = _strategy_folder(root, strategy)
    images = images_in(folder / "images")
    own = _own_labels(folder / "labels", table.folders.label_suffix)
    places = {pair.key: place for place, pair in enumerate(train)}
    found: list[list[Pair]] = [[] for _ in train]
    for key, path in images.items():
        bare = _bare(key, table.folders.image_suffix)
        names = (key, bare, _original(key), _original(bare))
        place = next((places[name] for name in names if name in places), None)
        if place is None:
            raise UserError(f"strategy image {path}: is of no training image, and so has no labels")
        labels = train[place].labels if own is None else own.get(key, own.get(bare))
        if labels is None:
            raise UserError(f"strategy image {path}: has no labels in {folder / 'labels'}")
        found[place].append(Pair(key, path, labels))
    lacking = [pair.image.name for pair, some in zip(train, found, strict=True) if not some]
    if lacking:
        raise UserError(
            f"strategy {folder}: lacks images of {len(lacking)} of {len(train)} training images, "
            f"such as {lacking[0]}"
        )
    return found


def _own_labels(folder: Path, suffix: str) -> dict[str, Path] | None:
    """Return key, with and without the suffix -> the strategy's label image; None without any."""
    if not folder.is_dir():
        return None
    found = images_in(folder)
    return {_bare(key, suffix): path for key, path in found.items()} | found


def _bare(key: str, suffix: str) -> str:
    """Return a variant's key without the suffix, which its image's name or the whole may have."""
    folder, slash, file = key.rpartition("/")
    name, apart, number = file.partition(_APART)
    return folder + slash + name.removesuffix(suffix) + apart + number.removesuffix(suffix)


def _original(key: str) -> str:
    """Return the training image's key in that of a variant."""
    folder, slash, name = key.rpartition("/")
    return folder + slash + name.partition(_APART)[0]


def _strategy_folder(root: Path, strategy: str) -> Path:
    base = root / STRATEGY_FOLDER
    if "/" in strategy:
        base, strategy = Path(strategy).parent, Path(strategy).name
    if not (base / strategy).is_dir():
        there = (
            sorted(path.name for path in base.iterdir() if path.is_dir()) if base.is_dir() else ()
        )
        raise unknown(f"strategy in {base}:", strategy, (NO_STRATEGY, *there))
    return base / strategy


@lru_cache(maxsize=8)
def sample_streets(size: tuple[int, int], strategy: str = NO_STRATEGY) -> StreetData:
    """Return the embedded data set, always the same; a quarter of its scenes is in each domain."""
    if strategy not in (NO_STRATEGY, *STRATEGIES):
        raise unknown("strategy of the sample", strategy, (NO_STRATEGY, *STRATEGIES))
    scenes = [draw_street(size, (0, number)) for number in range(_SAMPLE_TRAIN + _SAMPLE_VAL)]
    domains = ("clear", *WEATHER)
    val = [
        adverse(scene, domains[at % len(domains)], (1, at)) if at % len(domains) else scene
        for at, scene in enumerate(scenes[_SAMPLE_TRAIN:])
    ]
    made = (
        []
        if strategy == NO_STRATEGY
        else [
            STRATEGIES[strategy](scene, scenes[at - 1], list(WEATHER)[at % len(WEATHER)], (2, at))
            for at, scene in enumerate(scenes[:_SAMPLE_TRAIN])
        ]
    )
    train, held, variants = (
        torch.from_numpy(np.array([pixels_of(*scene) for scene in part]))
        for part in (scenes[:_SAMPLE_TRAIN], val, made)
    )
    digest = hashlib.sha256()
    for part in (train, held, variants):
        digest.update(part.numpy().tobytes())
    return StreetData(
        train=Scenes(train),
        val=Scenes(held),
        classes=CLASSES,
        domains=domains,
        domain_of=torch.arange(_SAMPLE_VAL) % len(domains),
        digest=digest.hexdigest(),
        variants=_placed(Scenes(variants), [1] * len(made)),
    )
