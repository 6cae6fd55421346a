"""Confusion matrices at the ends of a trial's stages: collected, and shown as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thaw.stage_ends import ends_with
from trainables.spec import TrialSpec
from training.confusion import CONFUSION, Confusion
from training.record import Record

_TABLE = f"val_{CONFUSION}"
_MOST_ROWS = 20
_MOST_PAIRS = 5


@dataclass(frozen=True)
class StageEnd:
    """What the validation set looked like when a stage was over."""

    stage: str
    epoch: int
    """Epochs on the data set of the schedule's last stage so far."""
    segment: int
    """Segments so far, also those that the trial went back from."""
    confusion: Confusion

    @property
    def label(self) -> str:
        """Return how the stage is headed."""
        return f"{self.stage}, epoch {self.epoch}"

    @property
    def accuracy(self) -> float:
        """Return the share of right answers over all classes, in [0, 1]."""
        num = self.confusion.num()
        recall = self.confusion.recall()
        return sum(recall[at] * num[at] for at in num) / max(1, sum(num.values()))


def stage_ends(visited: Iterable[tuple[str, Record]], objective: str) -> list[StageEnd]:
    """Return the last segment of each stage on the data set `objective`, as far as it was counted.

    `visited` are (stage, record) in their order; segments on other data have other classes.
    """
    return [
        StageEnd(end.stage, end.epoch, end.segment, Confusion.of(end.rows))
        for end in ends_with(_TABLE, visited, objective)
    ]


def class_names(spec: TrialSpec) -> tuple[str, ...]:
    """Return the names of the classes of the schedule's last stage; none where the task has none.

    A task may offer `classes(data)`; where it does not, classes are shown by their numbers.
    """
    classes = getattr(spec.build_task(), "classes", None)
    return () if classes is None else tuple(map(str, classes(spec.schedule.objective)))


def name_of(number: int, names: Sequence[str]) -> str:
    """Return the name of a class."""
    return names[number] if number < len(names) else str(number)


def show_confusion(console: Console, ends: Sequence[StageEnd], names: Sequence[str]) -> None:
    """Print how much of each class was recognised after each stage, and what is confused most."""
    if not ends:
        return
    shown = _chosen(ends)
    num = ends[-1].confusion.num()
    more = f", the {len(shown)} of {len(num):,} that changed most" if len(shown) < len(num) else ""
    title = f"recognised of each class at the end of each stage (validation set){more}"
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column("images", justify="right")
    for end in ends:
        table.add_column(Text(end.label), justify="right")
    recalls = [end.confusion.recall() for end in ends]
    for number in shown:
        cells = [_cell(recalls, place, number) for place in range(len(ends))]
        table.add_row(Text(name_of(number, names)), f"{num[number]:,}", *cells)
    totals = [{0: end.accuracy} for end in ends]
    cells = [_cell(totals, place, 0) for place in range(len(ends))]
    table.add_row("all", f"{sum(num.values()):,}", *cells, style="bold")
    console.print("", title, table, sep="\n", highlight=False)
    pairs = [
        f"{name_of(true, names)} taken for {name_of(predicted, names)} ({count} of {num[true]})"
        for true, predicted, count in ends[-1].confusion.confused()[:_MOST_PAIRS]
    ]
    told = ", ".join(pairs) if pairs else "nothing"
    console.print(Text(f"confused most after {ends[-1].stage}: {told}"))


def _chosen(ends: Sequence[StageEnd]) -> list[int]:
    """Return the classes that are shown: of many those that changed most from first to last."""
    first, last = ends[0].confusion.recall(), ends[-1].confusion.recall()
    if len(last) <= _MOST_ROWS:
        return sorted(last)
    ranked = sorted(last, key=lambda at: (-abs(last[at] - first.get(at, 0.0)), last[at], at))
    return sorted(ranked[:_MOST_ROWS])


def _cell(recalls: Sequence[dict[int, float]], place: int, number: int) -> Text:
    share = recalls[place].get(number)
    if share is None:
        return Text("-")
    before = recalls[place - 1].get(number) if place else None
    change = () if before is None else (" ", _change(100 * (share - before)))
    return Text.assemble(f"{100 * share:.1f} %", *change)


def _change(points: float) -> Text:
    """Return a change in points, tinted."""
    colour = "green" if points > 0 else "red" if points < 0 else "dim"
    return Text(f"{f'({points:+.1f})':>8}", style=colour)
