"""A schedule made longer, so that what was trained of it stays its beginning."""

from __future__ import annotations

from training.curves import Curve, Part, WarmUp
from training.errors import UserError
from training.schedule import Facts, Schedule, num_steps_per_epoch
from training.walk import foresee


def extended(
    schedule: Schedule,
    num_epochs: int,
    facts: Facts,
    *,
    lr: float | None = None,
) -> Schedule:
    """Return `schedule` with `num_epochs` epochs on the objective's data, sharing all its segments.

    The last stage is made longer where that leaves its segments what they are: a constant LR, or
    drops at fixed epochs. Where the LR hangs on the stage's length (cosine, one-cycle), or with
    `lr`, a stage is added that goes on with the same optimizer. In a schedule in iterations its LR
    stays where the curve ended, which is neither a jump nor nothing; else, and with `lr`, it runs
    the curve once more, from `lr` or the last stage's LR: a warm restart. Raises `UserError` where
    nothing is added.
    """
    if schedule.adaptive:
        raise UserError(
            f"--epochs {num_epochs}: the schedule has rules, which say when it ends; change its "
            "stages in schedule.yaml and train that: what it shares is not trained again"
        )
    last = schedule.stages[-1]
    done = sum(stage.epochs for stage in schedule.stages if stage.data == schedule.objective)
    if num_epochs <= done:
        raise UserError(f"--epochs {num_epochs}: the schedule has {done} epochs already")
    longer = last.model_copy(update={"epochs": last.epochs + num_epochs - done})
    whole = schedule.model_copy(update={"stages": (*schedule.stages[:-1], longer)})
    keys = foresee(schedule, facts)
    if lr is None and foresee(whole, facts)[: len(keys)] == keys:
        return whole
    holds = lr is None and last.segment_iterations is not None
    added = last.model_copy(
        update={
            "name": f"{last.name}, extended",
            "epochs": num_epochs - done,
            "lr": lr or last.lr,
            "curve": _ended(schedule, facts) if holds else _once_more(last.curve or schedule.curve),
            "warmup": WarmUp() if holds else last.warmup,
            "keep_optimizer": True,
            "restart": False,
        }
    )
    return schedule.model_copy(update={"stages": (*schedule.stages, added)})


def _once_more(curve: Curve) -> Curve:
    """Return the curve itself; of a run that was held at its end, what it was before."""
    if isinstance(curve, Part) and curve.after_epochs >= curve.of_epochs:
        return curve.of
    return curve


def _ended(schedule: Schedule, facts: Facts) -> Part:
    """Return the curve of the last stage as it is past its end: where it was at its last step."""
    last = schedule.stages[-1]
    if isinstance(last.curve, Part):
        return last.curve.model_copy(update={"after_epochs": last.curve.after_epochs + last.epochs})
    own = last.curve is not None
    sharing = [last] if own else [stage for stage in schedule.stages if stage.curve is None]
    num_steps = sum(stage.epochs * num_steps_per_epoch(stage, facts) for stage in sharing)
    per_epoch = num_steps_per_epoch(last, facts)
    warmup = last.warmup if own else schedule.warmup
    whole = num_steps / per_epoch - warmup.epochs
    curve = last.curve or schedule.curve
    assert not isinstance(curve, Part)
    return Part(of=curve, after_epochs=whole, of_epochs=whole)
