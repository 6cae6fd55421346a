"""A two-stage run sits on a plateau: which stage-2 LR, curve, resolution and length get it off?

All trials begin with the run that is stuck, up to the epoch at which it is: that is the trunk, or
somebody's checkpoint (`--set weights=FILE`), which then begins where it ended. From there a trial
restarts the curve over the epochs that remain, or goes on with the curve it was on, to its end.

Lengths, rates and sizes are those of the preset `full`; `sample` takes a tenth of the epochs, ten
times the rates and an eighth of the sizes.
"""

from __future__ import annotations

from typing import Any

from search_spaces.dimensions import Ask, Choice, Real
from search_spaces.study import Study
from trainables.camouflage import (
    DEEP_SUPERVISION,
    STUCK_EPOCH,
    TOTAL_EPOCHS,
    Settings,
    begin,
    continued,
    second,
    stage2_lr,
    stuck_run,
)
from training.curves import Constant, Cosine, Curve, OneCycle, Poly
from training.schedule import Schedule

IMAGE = Choice(
    name="train_px",
    values=(384, 416, 448),
    unit="px",
    help="side of the images from the resume point on; an eighth of it in the sample preset",
)
DEEP = Choice(
    name="deep_supervision",
    values=(True, False),
    unit="on or off",
    help="side heads add to the loss from the resume point on",
)
RESUME = Choice(
    name="curve_on_resume",
    values=("restart", "continue"),
    unit="way",
    help="restart a curve over the epochs that remain, or go on with the one it was on",
)
TOTAL = Choice(
    name="total_epochs",
    values=(120, 150, 180),
    unit="epochs",
    help="where a run that restarts ends, from its beginning; a tenth in the sample preset",
)
CURVE = Choice(
    name="stage2_curve",
    values=("cosine", "one_cycle", "poly", "constant"),
    unit="curve",
    help="LR curve after a restart",
)
WARMUP = Choice(
    name="warmup_epochs",
    values=(0, 3, 5),
    unit="epochs",
    help="straight line up to the LR after a restart; a tenth in the sample preset",
)
LR = Real(
    name="stage2_lr",
    low=1e-4,
    high=5e-4,
    log=True,
    unit="LR",
    help="learning rate after a restart; times ten in the sample preset",
)
FLOOR = Choice(
    name="lr_floor",
    values=(1e-5, 2e-5, 5e-5),
    unit="LR",
    help="where the curve ends; times ten in the sample preset",
)
LADDER: tuple[dict[str, Any], ...] = tuple(
    {
        "curve_on_resume": "restart",
        "train_px": px,
        "deep_supervision": True,
        "total_epochs": epochs,
        "stage2_curve": "cosine",
        "warmup_epochs": warmup,
        "lr_floor": floor,
        "stage2_lr": lr,
    }
    for lr, floor, epochs, px, warmup in (
        (2e-4, 1e-5, 120, 384, 0),
        (3e-4, 2e-5, 150, 384, 0),
        (3e-4, 2e-5, 150, 416, 3),
        (4e-4, 5e-5, 180, 448, 5),
    )
)
"""The options of the ladder: conservative, aggressive, resolution, still stuck."""
_CHECKED_AFTER = 10


def space(ask: Ask, config: Settings, seed: int) -> Schedule:
    """Return the run that is stuck, and one stage that is to get it off."""
    resume, px, deep = ask(RESUME), ask(IMAGE), ask(DEEP)
    at = max(begin(config), config.epochs(STUCK_EPOCH))
    changed: dict[str, Any] = {
        "name": resume,
        "epochs": config.epochs(TOTAL_EPOCHS) - at,
        "image_size": px * config.numbers.image_size // IMAGE.values[0],
        "loss": {"deep_supervision": DEEP_SUPERVISION if deep else 0.0},
    }
    trunk = stuck_run(config)
    if resume == "continue":
        stuck = {"lr": stage2_lr(config) * config.numbers.stuck_lr, "keep_optimizer": bool(trunk)}
        stage = second(config, **changed, **stuck, curve=continued(config, at))
    else:
        changed["epochs"] = config.epochs(ask(TOTAL)) - at
        kind, warmup = ask(CURVE), ask(WARMUP)
        floor = ask(FLOOR) if kind in ("cosine", "poly") else 0.0
        lr = ask(LR)
        rising = {"epochs": warmup * config.numbers.epochs}
        curve = _curve(kind, floor / lr)
        stage = second(config, **changed, lr=lr * config.numbers.lr, curve=curve, warmup=rising)
    return Schedule(seed=seed, stages=(*trunk, stage))


def _curve(kind: str, floor: float) -> Curve:
    match kind:
        case "cosine":
            return Cosine(floor=floor)
        case "poly":
            return Poly(floor=floor)
        case "one_cycle":
            return OneCycle()
        case _:
            return Constant()


def lengths(config: Settings) -> tuple[int, int]:
    """Return the most epochs of a trial, and those up to the first check after the resume point.

    Both are counted from where schedules begin: a checkpoint's own epochs are none of theirs.
    """
    done = begin(config)
    at = max(done, config.epochs(STUCK_EPOCH))
    checked = min(at + config.epochs(_CHECKED_AFTER), config.epochs(TOTAL_EPOCHS))
    return config.epochs(max(TOTAL.values)) - done, checked - done


_SAMPLE = lengths(Settings())
STUDY = Study(
    name="stage2_lr",
    question="Which stage-2 LR, curve, resolution and length get a run off its plateau?",
    system="camouflage",
    dimensions=(RESUME, IMAGE, DEEP, TOTAL, CURVE, WARMUP, FLOOR, LR),
    space=space,
    points=LADDER,
    metric="val_iou",
    max_epochs=_SAMPLE[0],
    grace_epochs=_SAMPLE[1],
    lengths=lengths,
    rung_by="last_stage",  # a rung in the trunk would compare what is the same
)
