"""Recipes of cyclic co-training: the source's tables as stages, and its strategies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from training.curves import ConstantCooldown, Cosine, WarmUp
from training.cyclic_config import CyclicConfig
from training.errors import UserError, unknown
from training.gates import Action, Gate, Gates
from training.optimizers import AdamW
from training.rules import Plateau, Rule
from training.schedule import Schedule, Stage

Strategy = Literal["no_cycle", "cyclic", "full_retrain"]
HOURS_PER_EPOCH = {"full": {"dsr": 0.1, "edgeface": 3 / 35}}
"""Preset -> model -> device-hours of an epoch, as the source has them."""
_PATIENCE = 15


@dataclass(frozen=True, kw_only=True)
class DsrTable:
    """A row of the source's table of stages, for DSR."""

    epochs: int
    lr: float
    batch_size: int
    warmup_epochs: float
    weight_decay: float
    dropout: float = 0.0
    early: float | Literal["frozen"] = 1.0
    """LR multiplier of the first layers."""
    lambdas: Mapping[str, float]
    """Loss term -> weight."""


@dataclass(frozen=True, kw_only=True)
class EdgeFaceTable:
    """A row of the source's table of stages, for EdgeFace: first the head, then all of it."""

    head_epochs: int
    epochs: int
    head_lr: float
    """While the head trains alone."""
    lr: float
    """Of the head, while all of it trains."""
    backbone: float = 0.1
    """LR multiplier of everything but the heads."""
    batch_size: int = 32
    scale: float
    margin: float
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Tables:
    """All rows of a preset."""

    pretrain_epochs: int
    """Epochs of EdgeFace on sharp faces, where there are no starting weights."""
    pretrain_lr: float
    pretrain_batch_size: int
    initial: DsrTable
    finetune: EdgeFaceTable
    cyclic: DsrTable
    again: EdgeFaceTable


_INITIAL = {
    "l1": 1.0,
    "perceptual": 0.02,
    "identity": 0.50,
    "feature_match": 0.15,
    "total_variation": 3e-6,
}
_CYCLIC = {
    "l1": 0.8,
    "perceptual": 0.015,
    "identity": 0.65,
    "feature_match": 0.20,
    "total_variation": 2e-6,
}
FULL = Tables(
    pretrain_epochs=40,
    pretrain_lr=1e-3,
    pretrain_batch_size=32,
    initial=DsrTable(
        epochs=100,
        lr=1.5e-4,
        batch_size=16,
        warmup_epochs=5,
        weight_decay=1e-6,
        lambdas=_INITIAL,
    ),
    finetune=EdgeFaceTable(
        head_epochs=10,
        epochs=25,
        head_lr=1e-4,
        lr=3e-5,
        scale=8.0,
        margin=0.1,
        temperature=4.0,
    ),
    cyclic=DsrTable(
        epochs=50,
        lr=8e-5,
        batch_size=20,
        warmup_epochs=2,
        weight_decay=2e-6,
        dropout=0.1,
        early=0.05,
        lambdas=_CYCLIC,
    ),
    again=EdgeFaceTable(
        head_epochs=5,
        epochs=15,
        head_lr=5e-5,
        lr=1.5e-5,
        scale=7.0,
        margin=0.08,
        temperature=4.5,
    ),
)
# Raw, L1 is 0.03 on drawn faces, identity and feature match are 0.1: as heavy as at the source they
# would leave hardly anything of it, and DSR would stay at bicubic interpolation.
_SAMPLE_INITIAL = _INITIAL | {"identity": 0.10, "feature_match": 0.05}
_SAMPLE_CYCLIC = _CYCLIC | {"identity": 0.13, "feature_match": 0.067}
SAMPLE = Tables(
    pretrain_epochs=15,
    pretrain_lr=1e-3,
    pretrain_batch_size=8,
    initial=replace(
        FULL.initial,
        epochs=8,
        lr=2e-3,
        batch_size=4,
        warmup_epochs=0.5,
        lambdas=_SAMPLE_INITIAL,
    ),
    finetune=replace(
        FULL.finetune,
        head_epochs=1,
        epochs=4,
        head_lr=2e-3,
        lr=1e-3,
        backbone=0.5,
        temperature=0.5,
        batch_size=8,
    ),
    cyclic=replace(
        FULL.cyclic,
        epochs=3,
        lr=1e-3,
        batch_size=4,
        warmup_epochs=0.5,
        lambdas=_SAMPLE_CYCLIC,
    ),
    again=replace(
        FULL.again,
        head_epochs=1,
        epochs=2,
        head_lr=1e-3,
        lr=5e-4,
        backbone=0.5,
        temperature=0.5,
        batch_size=8,
    ),
)
TABLES = {"sample": SAMPLE, "full": FULL}


def cyclic_schedule(
    config: CyclicConfig,
    *,
    seed: int,
    strategy: Strategy,
    cycles: int = 0,
    cyclic: DsrTable | None = None,
    gates: Gates | None = None,
) -> Schedule:
    """Return the stages of a strategy with so many cycles after the first two models.

    `cyclic` takes the place of the table's row for DSR in cycles. With `gates` a further cycle is
    only trained where they let it; a catastrophic one is given up for a full retrain, which forks
    from the models before it. Raises `UserError` for what cannot do without those first two.
    """
    if (strategy == "no_cycle") != (cycles == 0):
        raise UserError(f"cycles: {cycles} is not allowed with strategy {strategy}")
    tables = TABLES[config.preset]
    stages = [*pretraining(config), *_first(config, tables)]
    if not stages:
        _check_without_first(strategy, gates)
    ends = [stage.name for stage in stages[-1:]]
    for number in range(1, cycles + 1):
        if strategy == "full_retrain":
            cycle = _retrained(config, tables, f"retrain{number}")
        else:
            cycle = [
                _dsr(f"cycle{number}_dsr", cyclic or tables.cyclic, config, cyclic=True),
                *_edgeface(f"cycle{number}", tables.again),
            ]
        if gates is not None and number > 1:
            cycle = _gated(cycle, ends, "go_on", gates)
        stages += cycle
        ends.append(stages[-1].name)
        if gates is not None and strategy == "cyclic":
            fallback = _retrained(config, tables, f"fallback{number}")
            first, *others = _gated(fallback, ends, "retrain", gates)
            assert first.only_if is not None
            fork = first.only_if.model_copy(update={"back_to": ends[-2]})
            stages += [first.model_copy(update={"only_if": fork}), *others]
    return Schedule(seed=seed, stages=tuple(stages))


def _check_without_first(strategy: Strategy, gates: Gates | None) -> None:
    """Raise `UserError` where nothing is trained before the cycles, and something must be."""
    if strategy == "no_cycle":
        raise UserError(
            "strategy no_cycle: finetuned=true leaves nothing to train; "
            "allowed: cyclic, full_retrain"
        )
    if gates is not None:
        raise UserError(
            "gates: finetuned=true leaves nothing to compare a first cycle with; "
            "allowed: finetuned=false, or so many cycles without gates"
        )


def pretraining(config: CyclicConfig) -> list[Stage]:
    """Return EdgeFace on sharp faces, where it has no starting weights."""
    if config.edgeface_weights != "none":
        return []
    tables = TABLES[config.preset]
    return [
        Stage(
            name="pretrain",
            model="edgeface",
            data="source",
            epochs=tables.pretrain_epochs,
            lr=tables.pretrain_lr,
            curve=Cosine(),
            warmup=WarmUp(epochs=1),
            batch_size=tables.pretrain_batch_size,
            loss={"arcface_scale": 16.0, "arcface_margin": 0.1, "arcface_temperature": 1.0},
        )
    ]


def _first(config: CyclicConfig, tables: Tables) -> list[Stage]:
    """Return the first DSR and EdgeFace, without what the user's own models replace."""
    stages: list[Stage] = []
    if config.dsr_weights == "none":
        stages.append(_dsr("initial_dsr", tables.initial, config))
    if not config.finetuned:
        stages += _edgeface("finetune", tables.finetune)
    return stages


def _retrained(config: CyclicConfig, tables: Tables, name: str) -> list[Stage]:
    dsr = _dsr(f"{name}_dsr", tables.initial, config).model_copy(update={"restart": True})
    return [dsr, *_edgeface(name, tables.finetune)]


def _gated(stages: list[Stage], after: list[str], says: Action, gates: Gates) -> list[Stage]:
    gate = Gate(after=tuple(after), says=says, gates=gates)
    return [stage.model_copy(update={"only_if": gate}) for stage in stages]


def _dsr(name: str, table: DsrTable, config: CyclicConfig, *, cyclic: bool = False) -> Stage:
    lambdas = dict(table.lambdas)
    if config.perceptual == "none":
        lambdas.pop("perceptual", None)
    groups: dict[str, Any] = {"*": 1.0}
    if table.early != 1.0:
        groups = {"stem": table.early, "early": table.early, "*": 1.0}
    stop = Rule(any=(Plateau(metric="val_loss", patience=_PATIENCE),))
    return Stage(
        name=name,
        model="dsr",
        epochs=table.epochs,
        lr=table.lr,
        groups=groups,
        # Constant, then a cooldown: cycles of other lengths share what they have in common.
        curve=ConstantCooldown() if cyclic else Cosine(),
        warmup=WarmUp(epochs=table.warmup_epochs),
        optimizer=AdamW(weight_decay=table.weight_decay),
        batch_size=table.batch_size,
        loss=lambdas | {"dropout": table.dropout},
        until=stop if cyclic and table.epochs > _PATIENCE + 1 else None,
    )


def _edgeface(name: str, table: EdgeFaceTable) -> list[Stage]:
    loss = {
        "arcface_scale": table.scale,
        "arcface_margin": table.margin,
        "arcface_temperature": table.temperature,
    }
    common: dict[str, Any] = {"model": "edgeface", "loss": loss, "batch_size": table.batch_size}
    head = Stage(
        name=f"{name}_head",
        epochs=table.head_epochs,
        lr=table.head_lr,
        groups={"arcface": 1.0, "*": "frozen"},
        curve=ConstantCooldown(),
        **common,
    )
    both = {"arcface": 1.0, "head": 1.0, "*": table.backbone}
    last = Stage(
        name=f"{name}_all", epochs=table.epochs, lr=table.lr, groups=both, curve=Cosine(), **common
    )
    return [head, last]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named schedule."""

    what: str
    """In a few words."""
    source: str
    """Where it comes from."""
    make: Callable[[CyclicConfig, int], Schedule]
    """(configuration, seed) -> schedule."""
    needs_first: bool
    """It needs what is trained before the cycles."""


def _recipe(what: str, strategy: Strategy, cycles: int, gates: Gates | None = None) -> Recipe:
    def make(config: CyclicConfig, seed: int) -> Schedule:
        return cyclic_schedule(config, seed=seed, strategy=strategy, cycles=cycles, gates=gates)

    needs_first = strategy == "no_cycle" or gates is not None
    source = "project's source documents"
    return Recipe(what=what, source=source, make=make, needs_first=needs_first)


RECIPES: Mapping[str, Recipe] = {
    "no_cycle": _recipe("DSR, then EdgeFace on what it makes", "no_cycle", 0),
    "cyclic_1": _recipe("and one cycle of both", "cyclic", 1),
    "cyclic_2": _recipe("and two cycles", "cyclic", 2),
    "cyclic_3": _recipe("and three cycles", "cyclic", 3),
    "gated": _recipe("cycles for as long as they pay, a full retrain if not", "cyclic", 2, Gates()),
    "full_retrain_1": _recipe("DSR again from scratch, EdgeFace at full length", "full_retrain", 1),
    "full_retrain_2": _recipe("and a second time", "full_retrain", 2),
}


def recipe_schedule(
    name: str, config: CyclicConfig, *, seed: int, epochs: int | None = None
) -> Schedule:
    """Return the schedule of a recipe; raise `UserError` where there is none, or for `epochs`."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    if epochs is not None:
        raise UserError(f"--epochs {epochs}: the preset says how long each stage is")
    return RECIPES[name].make(config, seed)


def recipes_for(config: CyclicConfig) -> list[str]:
    """Return the names of the recipes that fit a configuration."""
    return [
        name for name, recipe in RECIPES.items() if not (config.finetuned and recipe.needs_first)
    ]


def cost_table(config: CyclicConfig, *, seed: int) -> dict[str, Schedule]:
    """Return the source's strategies from an EdgeFace that is given, with cycles of DSR at 0.3."""
    given = config.model_copy(
        update={"edgeface_weights": "given", "dsr_weights": "none", "finetuned": False}
    )
    tables = TABLES[config.preset]
    short = replace(tables.cyclic, epochs=max(1, round(0.3 * tables.initial.epochs)))
    rows: dict[str, tuple[Strategy, int]] = {
        "no cycle": ("no_cycle", 0),
        "cyclic, 1 cycle": ("cyclic", 1),
        "full retrain, 1 cycle": ("full_retrain", 1),
        "full retrain, 2 cycles": ("full_retrain", 2),
    }
    return {
        name: cyclic_schedule(given, seed=seed, strategy=strategy, cycles=cycles, cyclic=short)
        for name, (strategy, cycles) in rows.items()
    }
