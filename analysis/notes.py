"""What reading logs has met, in sentences: a few for all runs together, with examples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.grouping import Run
from analysis.merging import Joined
from analysis.part import Curve
from analysis.readers.text import words

_EXAMPLES = 3
_WORD = re.compile(r"[a-z0-9]+")
_SHARES = frozenset(
    words(
        "iou miou acc accuracy macc aacc top1 top5 top precision recall f1 fscore dice map ap ar "
        "auc auroc"
    )
)
"""Words in the names of metrics that are fractions, or per cent of them."""
_FRACTION, _PER_CENT = 1.0, 100.0
_CLEARLY_PER_CENT = 1.5


@dataclass
class Notes:
    """Counts by run or file, as they are met."""

    merged: dict[str, int] = field(default_factory=dict)
    abandoned: dict[str, int] = field(default_factory=dict)
    anew: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    not_finite: dict[str, int] = field(default_factory=dict)
    unmeasured: dict[str, int] = field(default_factory=dict)
    thinned: dict[str, int] = field(default_factory=dict)
    training_only: dict[str, str] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    epochs_from: dict[int, list[str]] = field(default_factory=lambda: {0: [], 1: []})
    units: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    """Metric -> runs that have it as a fraction, and runs that have it in per cent."""
    _known: dict[int, str] = field(default_factory=dict)

    def add(self, name: str, run: Run, joined: Joined) -> None:
        """Take in a run under the name that it has in the table."""
        first = run.contents[0].source.name
        if joined.num_merged:
            self.merged[name] = joined.num_merged
        if joined.num_abandoned:
            self.abandoned[name] = joined.num_abandoned
        if run.anew:
            self.anew[name] = ""
        for source, num_more in run.copies:
            more = f", with {num_more} points more that are not used" if num_more else ""
            self.copies[source.name] = f"as {first}{more}"
        for content in run.contents:
            if content.file.num_broken:
                at = f"{content.source.name} from line {content.file.first_broken} on"
                self.broken[at] = content.file.num_broken
        for counts, found in (
            (self.not_finite, joined.num_not_finite),
            (self.unmeasured, joined.num_unmeasured),
            (self.thinned, joined.num_thinned),
        ):
            counts |= {f"{metric} of {name}": num for metric, num in found.items()}
        self._look_at(name, joined.curves)

    def _look_at(self, name: str, curves: Mapping[str, Curve]) -> None:
        if curves and all(metric.startswith("train") or metric == "lr" for metric in curves):
            self.training_only[name] = ""
        for metric, curve in curves.items():
            if (unit := _unit(metric, curve)) is not None:
                self.units.setdefault(metric, ([], []))[unit].append(name)
        curve = next(iter(curves.values()))
        if curve.step[0] in (0, 1) and np.array_equal(curve.step, curve.epoch):
            self.epochs_from[int(curve.step[0])].append(name)
        if len(curve.step) > 2:
            key = hash(tuple((m, c.step.tobytes(), c.value.tobytes()) for m, c in curves.items()))
            first = self._known.setdefault(key, name)
            if first != name:
                self.same[name] = f"as {first}"

    def sentences(self) -> list[str]:
        """Return what is worth saying."""
        return [
            *_counted("points repeated a step of their run: the later value was kept", self.merged),
            *_counted(
                "points of a run that resumed and ended before them were left out", self.abandoned
            ),
            *_listed("begun again in a later file that went further, which was kept", self.anew),
            *_counted("lines could not be read and were left out", self.broken),
            *_listed("in several files, and read from one", self.copies),
            *_listed("the same points in several runs, all of which count", self.same),
            *_counted("values are not finite, or beyond 1e100, and stand as NaN", self.not_finite),
            *_counted("values of -1 mean that nothing was measured", self.unmeasured),
            *_counted("points left out to save memory, on an even grid of steps", self.thinned),
            *_listed("no validation", self.training_only),
            *self._epochs(),
            *self._units(),
        ]

    def _epochs(self) -> Iterable[str]:
        zero, one = self.epochs_from[0], self.epochs_from[1]
        if zero and one:
            yield (
                f"Epochs count from 0 in {_some(zero)}, and from 1 in {_some(one)}: their steps "
                "are left as they are."
            )

    def _units(self) -> Iterable[str]:
        for metric, (fractions, per_cents) in sorted(self.units.items()):
            if fractions and per_cents:
                yield (
                    f"{metric} is a fraction in {_some(fractions)}, and in per cent in "
                    f"{_some(per_cents)}: a mean over both means nothing."
                )


def _unit(metric: str, curve: Curve) -> int | None:
    """Return 0 for a fraction, 1 for per cent, None where it is neither or nothing can be said."""
    if not _SHARES & set(_WORD.findall(metric.lower())):
        return None
    finite = curve.value[np.isfinite(curve.value)]
    if not len(finite) or finite.min() < 0 or finite.max() > _PER_CENT:
        return None
    top = float(finite.max())
    return 0 if top <= _FRACTION else 1 if top > _CLEARLY_PER_CENT else None


def _counted(what: str, found: Mapping[str, int]) -> Iterable[str]:
    if found:
        names = sorted(found, key=lambda name: -found[name])
        shown = _some([f"{name} ({found[name]:,})" for name in names])
        yield f"{sum(found.values()):,} {what}: {shown}."


def _listed(what: str, found: Mapping[str, str]) -> Iterable[str]:
    if found:
        shown = _some([f"{name} ({text})" if text else name for name, text in found.items()])
        yield f"{what[0].upper()}{what[1:]}: {shown}."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _EXAMPLES:,} more" if len(names) > _EXAMPLES else ""
    return ", ".join(names[:_EXAMPLES]) + more
