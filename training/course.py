"""The course: where a history stands among stages that look at their metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from operator import is_
from typing import TYPE_CHECKING

from training.curves import Constant, WarmUp, factors
from training.record import Record

if TYPE_CHECKING:
    from training.actions import Reaction, RollBack
    from training.schedule import Stage

_MOST_KEPT = 512
_kept: dict[tuple[int, int, int], Course] = {}


def fold(stages: Sequence[Stage], history: Sequence[Record]) -> Course:
    """Return where a history stands among `stages`.

    A trial asks again after each segment, so that the last answers are kept: one record more is one
    step more. They go by which objects the stages and records are, all of which are looked at.
    """
    known = _known(stages, history) or _known(stages, history[:-1])
    course = Course(stages) if known is None else known
    for record in history[len(course.history) :]:
        course = course.after(record)
    if course is not known:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[_name(stages, history)] = course
    return course


def _known(stages: Sequence[Stage], history: Sequence[Record]) -> Course | None:
    course = _kept.get(_name(stages, history))
    if course is None or course.stages is not stages:
        return None
    return course if all(map(is_, course.history, history)) else None


def _name(stages: Sequence[Stage], history: Sequence[Record]) -> tuple[int, int, int]:
    return id(stages), len(history), id(history[-1]) if history else 0


class Course:
    """The stages of a schedule as far as a history has come through them; a value, never changed.

    All it says is decided by the records in their order. A trial that went back stands on a way
    that leaves out what it tried in vain.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        """Stand at the beginning."""
        self.stages = stages
        self.history: tuple[Record, ...] = ()
        self.way: tuple[int, ...] = ()
        """Places in the history of the segments that led to the present state, in their order."""
        self.visited: tuple[int, ...] = ()
        """Number of the stage of each segment of the history."""
        self.event = ""
        """What was decided after the last segment, in words; mostly nothing."""
        self._gated: tuple[str, ...] = ()
        self._begin(0)

    def after(self, record: Record) -> Course:
        """Return where one stands after the next segment; without metrics no rule holds."""
        course = copy(self)  # of values that never change themselves
        course._take(record)
        return course

    def _begin(self, number: int) -> None:
        while number < len(self.stages) and not self._wanted(self.stages[number]):
            number += 1
        self.number = number
        """Number of the present stage; past the end the number of stages."""
        self.lr = 1.0
        """Factor on the stage's LR."""
        self.weight_decay = 1.0
        """Factor on the stage's weight decay."""
        self.frozen: frozenset[str] = frozenset()
        """Globs of layer groups that were frozen on the way."""
        self.longer = 0
        """Epochs by which the stage was lengthened."""
        self._warm = (0, WarmUp())
        self._tries = 0
        self._reacted = (0,) * len(self.stages[number].react if not self.is_over else ())
        self._restart()

    def _wanted(self, stage: Stage) -> bool:
        """Tell whether a stage is trained, and note what its gate says."""
        if stage.only_if is None:
            return True
        # What a gate went back from is no longer on the way, and yet was measured.
        on_way = self._ends(self.way)
        last = self._ends(range(len(self.history))) | on_way
        names = stage.only_if.after
        verdict = stage.only_if.decide(
            [self.history[last[name]].metrics if name in last else {} for name in names]
        )
        origin = stage.only_if.back_to
        wanted = verdict is not None and verdict.action == stage.only_if.says
        wanted = wanted and (origin is None or origin in on_way)
        why = verdict.reason if verdict is not None else "not known"
        then = (
            f"begins{f' from the end of {origin}' if origin else ''}" if wanted else "is left out"
        )
        self._gated = (*self._gated, f"{why}: {stage.name} {then}")
        if wanted and origin is not None:
            self.way = self.way[: self.way.index(on_way[origin]) + 1]
        return wanted

    def _ends(self, places: Iterable[int]) -> dict[str, int]:
        """Return the last of some places in the history that belongs to each stage."""
        return {self.stages[self.visited[place]].name: place for place in places}

    def _restart(self) -> None:
        self._begun = self._since = len(self.way)

    @property
    def is_over(self) -> bool:
        """Tell whether all stages are through."""
        return self.number == len(self.stages)

    @property
    def epoch(self) -> int:
        """Return the epochs that the present stage has had since it began, or began again."""
        return len(self.way) - self._begun

    def warming(self, num_steps: int) -> tuple[float, ...]:
        """Return the LR factors of the next epoch's steps after an action that warms up."""
        since, warmup = self._warm
        begin = (len(self.way) - since) * num_steps
        end = begin + num_steps
        whole = end + round(warmup.epochs * num_steps)
        return factors(
            Constant(), warmup, begin=begin, end=end, num_steps=whole, steps_per_epoch=num_steps
        )

    def _take(self, record: Record) -> None:
        """Take in the record of the next segment, and decide what follows."""
        place, stage = len(self.history), self.stages[self.number]
        self.history = (*self.history, record)
        self.way = (*self.way, place)
        self.visited = (*self.visited, self.number)
        event = self._decide(stage) if stage.adaptive and record.metrics else ""
        if not event and self._is_through(stage):
            self._begin(self.number + 1)
        said, self._gated = filter(None, (event, *self._gated)), ()
        self.event = "; ".join(said) if record.metrics else ""

    def _is_through(self, stage: Stage) -> bool:
        return self.epoch == stage.epochs + self.longer

    def _decide(self, stage: Stage) -> str:
        """Do what the first rule that holds says, and return it in words; nothing where none."""
        seen, back = self._seen(self._begun), stage.roll_back
        if back is not None and (why := back.when.holding(*seen)):
            return f"{', '.join(why)}: back to {self._roll_back(back)}"
        through = self._is_through(stage)
        if not through and stage.until is not None and (why := stage.until.holding(*seen)):
            self._begin(self.number + 1)
            return f"{', '.join(why)}: {stage.name} ends"
        for number, reaction in enumerate(stage.react):
            left = self._reacted[number] < reaction.times and (reaction.longer or not through)
            if left and (why := reaction.when.holding(*self._seen(self._since))):
                done = self._reacted
                self._reacted = (*done[:number], done[number] + 1, *done[number + 1 :])
                return f"{', '.join(why)}: {self._react(reaction)}"
        return ""

    def _react(self, reaction: Reaction) -> str:
        """Change what a reaction changes; return it in words."""
        self._since = len(self.way)
        self.lr *= reaction.lr
        self.weight_decay *= reaction.weight_decay
        self.frozen |= set(reaction.freeze)
        self.longer += reaction.longer
        self._warm = (len(self.way), reaction.warmup)
        changed = {"LR": reaction.lr, "weight decay": reaction.weight_decay}
        changes = [f"{name} x {factor:g}" for name, factor in changed.items() if factor != 1]
        if reaction.longer:
            changes.append(f"{reaction.longer} epochs longer")
        return ", ".join((*changes, *(f"{glob} frozen" for glob in reaction.freeze)))

    def _seen(self, since: int) -> tuple[list[Record], list[Record], list[Record]]:
        """Return the records of the way from `since` on; those before the stage, and before them.

        Only what was measured on the same data is before something.
        """
        records = [self.history[place] for place in self.way]
        data = records[-1].data
        earlier, before = (
            [r for r in records[:end] if r.data == data] for end in (self._begun, since)
        )
        return records[since:], earlier, before

    def _roll_back(self, back: RollBack) -> str:
        """Cut the way to the checkpoint that `back` asks for; try again from there, or go on."""
        own = back.to == self.stages[self.number].name
        found = self._found(back, own=own)
        self.way = self.way[: found + 1]
        name = self.stages[self.visited[self.way[found]]].name if self.way else "the beginning"
        if self._tries == back.tries:
            self._begin(self.number + 1)
            return f"segment {found + 1} ({name}), and on from there"
        self._tries += 1
        self.lr *= back.lr
        self._warm = (len(self.way), back.warmup)
        if own:
            self._since = len(self.way)
        else:
            self._restart()
        return f"segment {found + 1} ({name}), try {self._tries + 1} with LR x {self.lr:g}"

    def _found(self, back: RollBack, *, own: bool) -> int:
        """Return the place on the way of the checkpoint that `back` asks for, -1 for the root."""
        name = back.to or self.stages[self.number - 1].name
        before = enumerate(self.way[: self._begun])
        named = [n for n, place in before if self.stages[self.visited[place]].name == name]
        places = range(self._begun, len(self.way) - 1) if own else named
        if not places:  # nothing is left of the stage: the place where this one began
            return self._begun - 1
        if back.pick == "last":
            return places[-1]
        return max(places, key=lambda n: back.worth(self.history[self.way[n]]))
