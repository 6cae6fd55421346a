"""Does it pay to freeze or to unfreeze step by step, to grow images, and to change the batch?

Every trial runs three stages, laid out by the tables of the project's source documents and scaled
to the data (`trainables.progressive.fitted`). What decides the first stage comes first and has few
values; dampening, averaging and the last stage's rate leave the stages before them shared, and
freezing differs from training everything in the last stage only.
"""

from __future__ import annotations

from search_spaces.dimensions import Ask, Choice, Real
from search_spaces.study import Study
from trainables.classifier import pretraining
from trainables.progressive import Row, Table, fitted, progressive, shipped, with_batches
from trainables.situation import Situation, situation_of
from training.classification import ClassifierConfig
from training.curves import Constant
from training.schedule import Schedule

LR = Choice(
    name="lr",
    values=(2e-3, 6e-3),
    unit="LR",
    help="learning rate of the head at the top of the curve",
)
GROWS = Choice(
    name="grows",
    values=("data and size", "size", "nothing"),
    unit="columns",
    help="what grows from stage to stage: share of the data and image size, the size, or neither",
)
BATCH = Choice(
    name="batch",
    values=("shrink", "grow", "constant"),
    unit="direction",
    help="batch size from stage to stage",
)
CURVE = Choice(
    name="curve_over",
    values=("stage", "all"),
    unit="span",
    help="a one-cycle for each stage, or one over all stages",
)
MODE = Choice(
    name="mode",
    values=("unfreeze", "freeze", "none"),
    unit="mode",
    help="more and more blocks train, the last stage freezes half of them, or all train always",
)
DAMPENING = Choice(
    name="dampening",
    values=(1.0, 0.8),
    unit="x LR",
    help="factor on the learning rate at each further stage",
)
EMA = Choice(
    name="ema_decay",
    values=(0.0, 0.98),
    unit="per step",
    help="average of the last stage's weights, which is evaluated; 0 is none",
)
LAST_LR = Real(
    name="last_lr_scale",
    low=0.1,
    high=1.0,
    log=True,
    unit="x LR",
    help="factor on the learning rate of the last stage",
)
_MAX_EPOCHS = 50


def table_of(ask: Ask, situation: Situation) -> Table:
    """Return the table that the values mean, fitted to the data."""
    lr, grows, batch = ask(LR), ask(GROWS), ask(BATCH)
    curve_over, mode, dampening = ask(CURVE), ask(MODE), ask(DAMPENING)
    source = shipped("freeze" if mode == "freeze" else "unfreeze")
    rows = tuple(_row(row, source, mode, grows) for row in source.stages)
    table = source.model_copy(
        update={
            "mode": mode,
            "lr": lr,
            "curve_over": curve_over,
            "dampening": dampening,
            "stages": rows,
        }
    )
    return with_batches(fitted(table, situation), batch)


def space(ask: Ask, config: ClassifierConfig, seed: int) -> Schedule:
    """Return pretraining and three stages; `config` decides sizes, batches and lengths."""
    situation = situation_of(config)
    found = progressive(table_of(ask, situation), situation)
    ema, scale = ask(EMA), ask(LAST_LR)
    *stages, last = found.stages
    last = last.model_copy(update={"ema_decay": ema or None, "lr": last.lr * scale})
    before = (stage.model_copy(update={"curve": Constant()}) for stage in pretraining(config))
    return found.model_copy(update={"seed": seed, "stages": (*before, *stages, last)})


def _row(row: Row, source: Table, mode: str, grows: str) -> Row:
    last = source.stages[-1]
    changes: dict[str, object] = {}
    if mode == "none":
        changes["trainable_down_to"] = "all"
    if grows != "data and size":
        changes["data_fraction"] = last.data_fraction
    if grows == "nothing":
        changes["image_size"] = last.image_size
    return row.model_copy(update=changes)


def _point(mode: str, curve_over: str) -> dict[str, object]:
    return {
        "lr": 6e-3,
        "grows": "data and size",
        "batch": "shrink",
        "curve_over": curve_over,
        "mode": mode,
        "dampening": 1.0,
        "ema_decay": 0.0,
        "last_lr_scale": 1.0,
    }


STUDY = Study(
    name="progressive",
    question="Does progressive training pay: unfreezing, freezing, larger images, other batches?",
    system="classifier",
    dimensions=(LR, GROWS, BATCH, CURVE, MODE, DAMPENING, EMA, LAST_LR),
    space=space,
    points=(_point("unfreeze", "all"), _point("freeze", "all"), _point("none", "all")),
    max_epochs=_MAX_EPOCHS,
    grace_epochs=10,
)
