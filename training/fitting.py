"""Whether a schedule fits a task: every field that cannot be checked alone."""

from __future__ import annotations

from fnmatch import fnmatchcase

from training.errors import UserError, unknown
from training.layers import match_layers
from training.schedule import SAME_OPTIMIZER, Facts, Schedule, Stage, num_used, with_frozen


def check(schedule: Schedule, facts: Facts) -> None:
    """Raise `UserError` where the schedule does not fit the task, naming the field."""
    if schedule.fork is not None:
        check(schedule.fork.schedule, facts)
    for number, stage in enumerate(schedule.stages):
        where = f"stages.{number} ({stage.name})"
        _check_names(stage, where, facts)
        _check_sizes(stage, where, facts)
        _check_kept(schedule.stages[:number], stage, where)
        _check_rules(schedule.stages[:number], stage, where)
        _check_roll_back(schedule.stages[:number], stage, where)
        _check_gate(schedule.stages[:number], stage, where)
        _check_freezing(stage, where, dict(facts.layers)[stage.model])


def _check_names(stage: Stage, where: str, facts: Facts) -> None:
    if stage.model not in dict(facts.layers):
        raise unknown(f"model in {where}:", stage.model, dict(facts.layers))
    if stage.data not in dict(facts.num_train):
        raise unknown(f"data in {where}:", stage.data, dict(facts.num_train))
    for term in stage.loss:
        if term not in dict(facts.loss):
            raise unknown(f"loss term in {where}:", term, dict(facts.loss))
    for term, why in facts.absent:
        if stage.loss.get(term, 0.0):
            raise UserError(f"{where}.loss.{term}: must be 0: {why}")
    match_layers(stage.groups, dict(facts.layers)[stage.model], f"{where}.groups")


def _check_sizes(stage: Stage, where: str, facts: Facts) -> None:
    share = stage.accumulate * facts.place.world_size
    if stage.batch_size % share:
        raise UserError(
            f"{where}.batch_size: {stage.batch_size} is not a multiple of "
            f"accumulate x workers ({share})"
        )
    if num_used(stage, facts) < share:
        raise UserError(
            f"{where}.data_fraction: {stage.data_fraction} of {stage.data!r} is "
            f"{num_used(stage, facts)} examples, fewer than accumulate x workers ({share})"
        )


def _check_kept(earlier: tuple[Stage, ...], stage: Stage, where: str) -> None:
    if not stage.keep_optimizer:
        return
    last = _may_be_last(earlier, stage)
    found = [earlier[number] for number in last]
    others = [s for s in found if any(getattr(s, f) != getattr(stage, f) for f in SAME_OPTIMIZER)]
    if not found or others:
        raise UserError(
            f"{where}.keep_optimizer: the last stage that trains the same model must be on the "
            "same data with the same optimizer, also where one is left out or gone back to"
        )
    if any(before.roll_back is not None for before in found):
        raise UserError(f"{where}.keep_optimizer: the stage before may go back to another one")
    if any(between.data != stage.data for between in earlier[min(last) :]):
        raise UserError(f"{where}.keep_optimizer: the stages in between must be on the same data")


def _may_be_last(earlier: tuple[Stage, ...], stage: Stage) -> list[int]:
    """Return the numbers of those of the same model whose optimizer `stage` may find."""
    same = [number for number, before in enumerate(earlier) if before.model == stage.model]
    always = [number for number in same if earlier[number].only_if is None]
    names = [earlier[number].name for number in same]
    found = same if not always else same[same.index(always[-1]) :]
    if stage.roll_back is not None and stage.roll_back.to in names:
        found = [*found, same[names.index(stage.roll_back.to)]]
    return found


def _check_rules(earlier: tuple[Stage, ...], stage: Stage, where: str) -> None:
    alone = all(before.data != stage.data for before in earlier)
    at_end = {f"react.{n}.when" for n, reaction in enumerate(stage.react) if reaction.longer}
    for field, rule in stage.rules():
        last = stage.epochs - (field not in at_end | {"roll_back.when"})
        if rule.needs > last:
            raise UserError(
                f"{where}.{field}: can never decide anything: it needs {rule.needs} epochs, and "
                f"the stage ends after {stage.epochs} (its `epochs`)"
            )
        if alone and rule.compares and stage.roll_back is None:
            raise UserError(
                f"{where}.{field}: can never decide anything: {', '.join(rule.compares)} looks at "
                f"an earlier stage on the same data, and there is none; the stage ends after "
                f"{stage.epochs} epochs (its `epochs`)"
            )


def _check_roll_back(earlier: tuple[Stage, ...], stage: Stage, where: str) -> None:
    back = stage.roll_back
    if back is None:
        return
    trains = (stage.model, stage.data)
    names = [before.name for before in earlier if (before.model, before.data) == trains]
    if back.to == stage.name:
        return
    if not names or (not back.to and earlier[-1].name not in names):
        raise UserError(
            f"{where}.roll_back: there must be a stage before it that trains the same model on "
            "the same data"
        )
    if back.to and back.to not in names:
        raise unknown(f"stage in {where}.roll_back.to:", back.to, [*names, stage.name])


def _check_gate(earlier: tuple[Stage, ...], stage: Stage, where: str) -> None:
    if stage.only_if is None:
        return
    for name in stage.only_if.after:
        if name not in {before.name for before in earlier}:
            raise unknown(f"stage in {where}.only_if.after:", name, [s.name for s in earlier])
    back_to = stage.only_if.back_to
    if back_to is not None and back_to not in stage.only_if.after:
        raise unknown(f"stage in {where}.only_if.back_to:", back_to, stage.only_if.after)
    if back_to is not None and stage.keep_optimizer:
        raise UserError(f"{where}.keep_optimizer: the optimizer of {back_to} is gone with back_to")


def _check_freezing(stage: Stage, where: str, layers: tuple[str, ...]) -> None:
    globs = {glob for reaction in stage.react for glob in reaction.freeze}
    for glob in sorted(globs):
        if not any(fnmatchcase(layer, glob) for layer in layers):
            raise unknown(f"layer group in {where}.react.freeze:", glob, layers)
    if globs and set(with_frozen(stage, globs, layers).values()) == {"frozen"}:
        raise UserError(f"{where}.react.freeze: leaves nothing to train")
