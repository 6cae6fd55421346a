"""System 2: two-stage segmentation of camouflaged objects, and a run that is stuck.

Stage 1 trains decoder, experts and head on a frozen backbone; stage 2 unfreezes the backbone from
its end and fine-tunes everything. `stuck_run` is that plan up to the epoch at which it sits on a
plateau; the study `stage2_lr` asks what gets it off.

Presets run the same code: `full` has the numbers of the original project, `sample` a tenth of its
epochs on small drawn images, and a small network that is trained from scratch at higher rates.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from training.camouflage import Camouflage, CamouflageConfig
from training.checkpoints import EPOCH, checkpoint_epoch
from training.curves import Cosine, Curve, OneCycle, Part
from training.errors import UserError
from training.schedule import Schedule, Stage

build = Camouflage
METRIC = "val_iou"

STAGE1_EPOCHS, STUCK_EPOCH, TOTAL_EPOCHS = 30, 86, 120
"""Where stage 1 ends, where the run is stuck, and where it would end, in epochs of `full`."""
_STAGE1_LR, _STAGE2_LR, _FLOOR = 2.5e-4, 2e-4, 1e-5
_THAWED = (("stages_3", 10), ("stages_2", 10))
"""Stage 2 first trains down to this level of the backbone, for so many epochs."""
_DECODER: dict[str, float | str] = {"head": 1.0, "experts": 1.0, "decoder": 1.0}
DEEP_SUPERVISION = 0.4
"""Weight of the side heads where deep supervision is on."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What differs between the original project's numbers and the sample's."""

    task: Mapping[str, Any]
    """Defaults of the task."""
    epochs: float
    """Epochs of the preset for one of `full`."""
    lr: float
    """Factor on all learning rates."""
    image_size: int
    """Side in px at which both stages train."""
    batches: tuple[int, int]
    """Images of an optimizer step in stage 1 and stage 2."""
    accumulate: int
    """Micro-batches of a step."""
    stuck_lr: float
    """Factor on the stage-2 LR of the run that is stuck: the sample's is stuck by design."""


PRESETS = {
    "full": Preset(
        task={"model": "edgenext_base", "image_size": 448, "weights": "timm"},
        epochs=1.0,
        lr=1.0,
        image_size=384,
        batches=(8, 4),  # 4 micro-batches of 2, and of 1
        accumulate=4,
        stuck_lr=1.0,
    ),
    "sample": Preset(
        task={"num_experts": 3, "width": 32},
        epochs=0.1,
        lr=10.0,
        image_size=48,
        batches=(8, 4),
        accumulate=1,
        stuck_lr=0.002,
    ),
}


class Settings(CamouflageConfig):
    """The task, and from where its schedules start."""

    preset: Literal["full", "sample"] = "sample"
    """`full`: the original project's network, sizes and lengths; `sample`: all of it small."""
    resume_epoch: Annotated[int, Field(ge=0)] | None = None
    """Epochs that `weights` was trained for; default: what the checkpoint says, else 0."""
    skip_stage1: bool = False
    """Leave out stage 1, whatever the checkpoint says."""

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, data: Any) -> Any:
        """Take what is not given from the preset."""
        if not isinstance(data, dict) or data.get("preset", "sample") not in PRESETS:
            return data
        return {**PRESETS[data.get("preset", "sample")].task, **data}

    @property
    def numbers(self) -> Preset:
        """Return the numbers of the preset."""
        return PRESETS[self.preset]

    def epochs(self, full: float) -> int:
        """Return the epochs of this preset for those of `full`, at least 1."""
        return max(1, round(full * self.numbers.epochs))


def pace(config: Settings) -> float:
    """Return how many epochs stand for one of the monitor's."""
    return config.numbers.epochs


def baseline(config: Settings, *, seed: int) -> Schedule:
    """Return both stages to their end: what a careful user would take without a search."""
    return Schedule(seed=seed, stages=two_stages(config, config.epochs(TOTAL_EPOCHS)))


def controls(config: Settings) -> dict[str, Callable[..., Schedule]]:
    """Return what `thaw confirm` compares with besides the baseline: the stuck run, gone on with.

    Nothing where that is the baseline itself.
    """
    return {} if config.numbers.stuck_lr == 1 else {"stuck": _unchanged}


def _unchanged(config: Settings, *, seed: int) -> Schedule:
    """Return the run that is stuck to the end of its plan."""
    end = config.epochs(TOTAL_EPOCHS)
    return Schedule(seed=seed, stages=two_stages(config, end, lr=config.numbers.stuck_lr))


def stuck_run(config: Settings) -> tuple[Stage, ...]:
    """Return the stages of the run that is stuck, up to there; none where a checkpoint is it."""
    return two_stages(config, config.epochs(STUCK_EPOCH), lr=config.numbers.stuck_lr)


def two_stages(config: Settings, end: int, *, lr: float = 1.0) -> tuple[Stage, ...]:
    """Return stage 1 and the parts of stage 2, from where schedules begin to epoch `end`.

    `lr` is a factor on the LR of stage 2, whose curve is laid out to `TOTAL_EPOCHS` whatever `end`
    is. Empty where the checkpoint is past `end`.
    """
    stages, start, begun = list[Stage](), 0, begin(config)
    for stage in (_stage1(config), *_stage2(config, lr)):
        first, last = max(start, begun), min(start + stage.epochs, end)
        if first < last:
            assert isinstance(stage.curve, Part)
            after = stage.curve.after_epochs + first - start
            change = {
                "epochs": last - first,
                "curve": stage.curve.model_copy(update={"after_epochs": after}),
                "keep_optimizer": stage.keep_optimizer and bool(stages),
            }
            stages.append(stage.model_copy(update=change))
        start += stage.epochs
    return tuple(stages)


def begin(config: Settings) -> int:
    """Return the epoch at which schedules begin: after stage 1, or where the checkpoint was.

    Raises `UserError` where the checkpoint is past the end of the plan.
    """
    done = _done(config)
    if config.resume_epoch is not None and config.weights in ("none", "timm"):
        raise UserError(f"resume_epoch {done}: needs a checkpoint (weights=FILE) to resume from")
    total = config.epochs(TOTAL_EPOCHS)
    if done >= total:
        raise UserError(
            f"resume_epoch {done}: the plan of preset {config.preset!r} ends at epoch {total}; "
            f"allowed: 0 .. {total - 1}"
        )
    return _begun(config)


def trained_before(config: Settings) -> dict[str, int]:
    """Return the epoch of the plan from which `model.pt` counts on."""
    return {EPOCH: _begun(config)}


def second(config: Settings, **fields: Any) -> Stage:
    """Return a stage that trains everything with the numbers of stage 2, with `fields` set."""
    numbers = config.numbers
    return Stage.parse(
        {
            "lr": stage2_lr(config),
            "batch_size": numbers.batches[1],
            "accumulate": numbers.accumulate,
            "image_size": numbers.image_size,
            "augment": {"flip": True},
            "loss": {"deep_supervision": DEEP_SUPERVISION},
        }
        | fields
    )


def continued(config: Settings, after: int) -> Curve:
    """Return the curve of stage 2 from epoch `after` on, as if nothing had happened."""
    border = config.epochs(STAGE1_EPOCHS)
    return Part(
        of=Cosine(floor=_FLOOR / _STAGE2_LR),
        after_epochs=after - border,
        of_epochs=config.epochs(TOTAL_EPOCHS) - border,
    )


def _stage1(config: Settings) -> Stage:
    num = config.epochs(STAGE1_EPOCHS)
    return second(
        config,
        name="stage 1",
        epochs=num,
        lr=_STAGE1_LR * config.numbers.lr,
        batch_size=config.numbers.batches[0],
        groups={**_DECODER, "*": "frozen"},
        curve=Part(of=OneCycle(), after_epochs=0, of_epochs=num),
    )


def _stage2(config: Settings, lr: float) -> tuple[Stage, ...]:
    """Return the parts of stage 2: the backbone thaws from its end, on one curve over all parts."""
    border = at = config.epochs(STAGE1_EPOCHS)
    thawed, parts = dict(_DECODER), list[dict[str, Any]]()
    for level, full in _THAWED if config.model.startswith("edgenext") else ():
        thawed[level] = 1.0
        groups = {**thawed, "*": "frozen"}
        parts.append({"name": f"stage 2, {level}", "epochs": config.epochs(full), "groups": groups})
    whole = config.epochs(TOTAL_EPOCHS) - border - sum(part["epochs"] for part in parts)
    parts.append({"name": "stage 2", "epochs": whole, "groups": {"*": 1.0}})
    stages = []
    for part in parts:
        shared = {"lr": stage2_lr(config) * lr, "curve": continued(config, at)}
        stages.append(second(config, **part, **shared, keep_optimizer=at > border))
        at += part["epochs"]
    return tuple(stages)


def stage2_lr(config: Settings) -> float:
    """Return the LR of stage 2 before anything is searched."""
    return _STAGE2_LR * config.numbers.lr


def _begun(config: Settings) -> int:
    done = _done(config)
    return max(done, config.epochs(STAGE1_EPOCHS)) if config.skip_stage1 else done


def _done(config: Settings) -> int:
    return _epoch_of(config.weights) if config.resume_epoch is None else config.resume_epoch


def _epoch_of(weights: str) -> int:
    if weights in ("none", "timm") or not os.path.isfile(weights):
        return 0  # a file that is missing is told when the task is built
    return _read_epoch(weights, os.stat(weights).st_mtime_ns) or 0


@lru_cache(maxsize=8)
def _read_epoch(path: str, modified_ns: int) -> int | None:
    return checkpoint_epoch(path)
