"""A schedule made longer, so that what was trained of it stays its beginning."""

from __future__ import annotations

from training.errors import UserError
from training.schedule import Facts, Schedule
from training.walk import foresee


def extended(
    schedule: Schedule, num_epochs: int, facts: Facts, *, lr: float | None = None
) -> Schedule:
    """Return `schedule` with `num_epochs` epochs on the objective's data, sharing all its segments.

    The last stage is made longer where that leaves its segments what they are: a constant LR, or
    drops at fixed epochs. Where the LR hangs on the stage's length (cosine, one-cycle), or with
    `lr`, a stage is added that goes on with the same optimizer and runs the curve once more, from
    `lr` or the last stage's LR: a warm restart. Raises `UserError` where nothing is added.
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
    added = last.model_copy(
        update={
            "name": f"{last.name}, extended",
            "epochs": num_epochs - done,
            "lr": lr or last.lr,
            "curve": last.curve or schedule.curve,
            "keep_optimizer": True,
        }
    )
    return schedule.model_copy(update={"stages": (*schedule.stages, added)})
