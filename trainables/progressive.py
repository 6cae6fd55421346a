"""Progressive training: stages as a table of data share, image size, batch and what trains.

A table is a YAML file; three ship in `tables/`, with the numbers of the project's source documents.
They are laid out for images of 224 px and batches of 1024; `fitted` scales them to other data by
one rule. Blocks may be counted, so that a table serves any model: "trainable down to 2" trains the
head and the last two blocks (layer4 and layer3 of a ResNet), "frozen up to 2" freezes the stem and
the first two (layer1 and layer2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from trainables.rates import only, rates
from trainables.situation import SAMPLE_EPOCHS, Situation
from training.config import Config
from training.curves import Constant, Cosine, OneCycle
from training.errors import UserError, unknown
from training.optimizers import AdamW, Optimizer
from training.schedule import Schedule, Stage, with_frozen

_TABLES = Path(__file__).parent / "tables"
_SIZE_STEP = 4
"""Sizes and batches are rounded to multiples of it."""
_STEPS = 8
"""Least number of the largest batches that the training images are."""
_COLUMNS = (("unfreeze", "trainable_down_to", "all"), ("freeze", "frozen_up_to", "none"))
"""Modes with the column that each uses, and what stands there for nothing."""
_BLOCKS = 4
"""Blocks of the ResNets that the source documents speak of."""
_FURTHER = {"unfreeze": "more", "freeze": "fewer"}
"""What may train from stage to stage."""
_CURVES = {"constant": Constant(), "cosine": Cosine(), "one_cycle": OneCycle()}

Mode = Literal["unfreeze", "freeze", "both", "none"]
Blocks = Annotated[int, Field(ge=0)]


class Row(Config):
    """One stage of a table."""

    name: str = ""
    """What the stage is called; none is its number."""
    data_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training images."""
    image_size: Annotated[int, Field(ge=8, le=4096)]
    """Side of the images in px."""
    batch_size: Annotated[int, Field(ge=1)]
    """Images of one optimizer step."""
    epochs: Annotated[int, Field(ge=1)]
    trainable_down_to: Blocks | str = "all"
    """How many blocks train, counted from the head (0 is the head alone), or the last one of them
    by its layer group's name, or "all"."""
    frozen_up_to: Blocks | str = "none"
    """How many blocks are frozen together with the stem, counted from the stem, or the last one of
    them by name, or "none"."""
    lr_scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the table's LR."""


class Table(Config):
    """Progressive training as a table of stages."""

    mode: Mode
    """Which column holds: `trainable_down_to` (unfreeze), `frozen_up_to` (freeze), both, none."""
    lr: Annotated[float, Field(gt=0)] = 4e-3
    """Learning rate of the head at the top of the curve."""
    rates: str = "playbook"
    """Multipliers of the layer groups: one of `trainables.rates.RATES`."""
    curve: Literal["constant", "cosine", "one_cycle"] = "one_cycle"
    curve_over: Literal["all", "stage"] = "all"
    """One curve, and one optimizer, over all stages, or new ones for each stage."""
    dampening: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor on the LR at each further stage."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Average the weights with this decay per step, across the borders of stages."""
    optimizer: Optimizer = AdamW()
    batchnorm: Literal["train", "eval_frozen", "eval_all"] = "train"
    stages: Annotated[tuple[Row, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _columns(self) -> Self:
        rates(self.rates)
        for number, row in enumerate(self.stages):
            for mode, column, nothing in _COLUMNS:
                if getattr(row, column) != nothing and self.mode not in (mode, "both"):
                    raise ValueError(
                        f"stages.{number} has {column}, which mode {self.mode} does not use; "
                        f"allowed: leave it out, or mode {mode} or both"
                    )
        return self

    @property
    def epochs(self) -> int:
        """Return the epochs of all stages."""
        return sum(row.epochs for row in self.stages)


def read_table(path: str | Path) -> Table:
    """Read a table; raise `UserError` that names file, stage, field and what is allowed."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: must hold the fields mode and stages")
    return Table.parse(data, str(path))


@lru_cache
def shipped(name: str) -> Table:
    """Return the table of the source documents: `unfreeze`, `freeze` or `scratch`."""
    return read_table(_TABLES / f"progressive_{name}.yaml")


def fitted(table: Table, situation: Situation, epochs: int | None = None) -> Table:
    """Scale a table for a ResNet and a large data set to others; columns keep their proportions.

    Sizes: the largest becomes the task's own image size, others a multiple of 4. Batches: the
    largest is at most an eighth of the training images, all are rounded down to multiples of 4.
    Epochs: they add up to `epochs`, to 16 on the embedded data, to the table's own elsewhere.
    Blocks: they are of 4, so that 2 are half of them in any model. The sample and the full preset
    differ in these numbers only.
    """
    largest = max(row.image_size for row in table.stages)
    most = max(row.batch_size for row in table.stages)
    batch = min(1.0, situation.num_train / _STEPS / most)
    total = epochs or (SAMPLE_EPOCHS if situation.sample else table.epochs)
    lengths = _proportional([row.epochs for row in table.stages], total)
    rows = [
        row.model_copy(
            update={
                "image_size": _size(row.image_size / largest, situation),
                "batch_size": max(
                    _SIZE_STEP, _SIZE_STEP * int(row.batch_size * batch / _SIZE_STEP + 1e-9)
                ),
                "epochs": length,
                "trainable_down_to": _blocks(row.trainable_down_to, situation),
                "frozen_up_to": _blocks(row.frozen_up_to, situation),
            }
        )
        for row, length in zip(table.stages, lengths, strict=True)
    ]
    return table.model_copy(update={"stages": tuple(rows)})


def progressive(table: Table, situation: Situation, where: str = "table") -> Schedule:
    """Return the schedule that a table means, without pretraining.

    Raises `UserError` that names the stage for blocks that the model has not, for a stage in which
    nothing trains, for one that freezes what unfreezing had thawed or the other way round, and for
    a batch that is larger than its share of the data.
    """
    over_all = table.curve_over == "all"
    curve = _CURVES[table.curve]
    stages = [
        Stage.parse(
            {
                "name": row.name or f"stage {number + 1}",
                "epochs": row.epochs,
                "lr": table.lr * row.lr_scale * table.dampening**number,
                "groups": _groups(table, row, situation.layers, _place(where, number, row)),
                "data_fraction": row.data_fraction,
                "image_size": None if row.image_size == situation.image_size else row.image_size,
                "batch_size": _batch(row, situation, _place(where, number, row)),
                "curve": None if over_all else curve,
                "keep_optimizer": over_all and number > 0,
                "optimizer": table.optimizer,
                "batchnorm": table.batchnorm,
                "ema_decay": table.ema_decay,
            },
            _place(where, number, row),
        )
        for number, row in enumerate(table.stages)
    ]
    _check_direction(table, stages, situation.layers, where)
    return Schedule(stages=tuple(stages), curve=curve if over_all else Constant())


def _check_direction(
    table: Table, stages: Sequence[Stage], layers: tuple[str, ...], where: str
) -> None:
    """Refuse a table that goes against its own mode; `both` may go either way."""
    trained = [
        {layer for layer, value in with_frozen(stage, set(), layers).items() if value != "frozen"}
        for stage in stages
    ]
    for number, (before, after) in enumerate(pairwise(trained), 1):
        against = {"unfreeze": before - after, "freeze": after - before}.get(table.mode)
        if against:
            does = "freezes" if table.mode == "unfreeze" else "thaws"
            names = ", ".join(layer for layer in layers if layer in against)
            raise UserError(
                f"{_place(where, number, table.stages[number])} {does} {names}, which contradicts "
                f"mode {table.mode}; allowed: the same or {_FURTHER[table.mode]} from stage to "
                "stage, or mode both"
            )


def with_batches(table: Table, how: Literal["shrink", "grow", "constant"]) -> Table:
    """Return a table whose batches shrink or grow from stage to stage, or stay at the middle one.

    They are the table's own in another order; batches grow where images do not, to keep the
    noise of gradients falling (arXiv 1711.00489), and shrink to fit larger images into memory.
    """
    sizes = sorted((row.batch_size for row in table.stages), reverse=how == "shrink")
    if how == "constant":
        sizes = [sizes[len(sizes) // 2]] * len(sizes)
    rows = (
        row.model_copy(update={"batch_size": size})
        for row, size in zip(table.stages, sizes, strict=True)
    )
    return table.model_copy(update={"stages": tuple(rows)})


def _size(share: float, situation: Situation) -> int:
    """Return a share of the task's image size, all of it as it is."""
    if share == 1:
        return situation.image_size
    return max(8, _SIZE_STEP * round(share * situation.image_size / _SIZE_STEP))


def _blocks(num: int | str, situation: Situation) -> int | str:
    """Scale blocks of a ResNet's 4 to those of the model."""
    if not isinstance(num, int) or num == 0:
        return num
    blocks = max(0, len(situation.layers) - 2)
    return min(blocks, max(1, round(num * blocks / _BLOCKS)))


def _place(where: str, number: int, row: Row) -> str:
    return f"{where}: stages.{number}" + (f" ({row.name})" if row.name else "")


def _groups(table: Table, row: Row, layers: Sequence[str], where: str) -> Any:
    stem, blocks, head = layers[0], layers[1:-1], layers[-1]
    first = 0  # block that trains
    trained, frozen = set(layers), set[str]()
    if row.trainable_down_to != "all":
        first = len(blocks) - _count(row, "trainable_down_to", blocks[::-1], where)
        trained = {head, *blocks[first:]}
    if row.frozen_up_to != "none":
        up = _count(row, "frozen_up_to", blocks, where)
        frozen = {stem, *blocks[:up]}
        if row.trainable_down_to != "all" and first < min(up, len(blocks)):
            raise UserError(
                f"{where}: trainable_down_to {row.trainable_down_to} and frozen_up_to "
                f"{row.frozen_up_to} contradict each other: both claim "
                f"{', '.join(blocks[first:up])}; allowed: together at most {len(blocks)} blocks"
            )
    return only(rates(table.rates)(layers), [name for name in layers if name in trained - frozen])


def _count(row: Row, column: str, blocks: Sequence[str], where: str) -> int:
    """Return how many of `blocks` a row's column means."""
    said = getattr(row, column)
    if isinstance(said, str):
        if said not in blocks:
            raise unknown(f"layer group in {where}.{column}:", said, blocks)
        return blocks.index(said) + 1
    if said > len(blocks):
        raise UserError(
            f"{where}.{column}: {said} blocks, but the model has {len(blocks)} "
            f"({', '.join(blocks)}); allowed: 0 .. {len(blocks)}"
        )
    return int(said)


def _batch(row: Row, situation: Situation, where: str) -> int:
    used = round(situation.num_train * row.data_fraction)
    if row.batch_size > used:
        raise UserError(
            f"{where}.batch_size: {row.batch_size} is more than the stage has training images "
            f"({row.data_fraction:g} of {situation.num_train}); allowed: 1 .. {used}"
        )
    return row.batch_size


def _proportional(lengths: Sequence[int], total: int) -> list[int]:
    """Return `lengths` scaled so that they add up to `total`, at least 1 each."""
    if total < len(lengths):
        raise UserError(f"--epochs {total}: the table has {len(lengths)} stages; allowed: no fewer")
    shares = [length * total / sum(lengths) for length in lengths]
    found = [max(1, int(share)) for share in shares]
    while sum(found) != total:
        step = 1 if sum(found) < total else -1
        gaps = [
            (step * (share - have), -index)
            for index, (share, have) in enumerate(zip(shares, found, strict=True))
            if step > 0 or have > 1
        ]
        found[-max(gaps)[1]] += step
    return found
