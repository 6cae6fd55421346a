"""Which metric a report is about, in which direction it is better, and how its values are shown."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.logs import LogError

Floats = npt.NDArray[np.float64]

_WORD = re.compile(r"[a-z0-9]+")
_LOWER_IS_BETTER = """
    loss error err mae mse rmse mape perplexity ppl wer cer nll bpb bpc fid eer ece regret nme
    rmsle msle smape wape entropy crossentropy xent bce brier lpips niqe hd95 hausdorff
"""
_AT_MOST_ALL = """
    iou miou acc accuracy macc aacc top precision recall f fscore dice map ap ar auc auroc bleu ssim
    pck
"""
_OPEN_ENDED = "reward return score psnr rouge elo"
_NO_RESULT = """
    lr time eta memory epoch epochs iter iteration iterations step steps timestamp pid gpu cpu ram
    seconds duration throughput fps grad norm momentum weight hours total stderr std var count num
    examples samples len length queue ms runtime learning flos flops
"""
_DOWN, _BOUNDED, _OPEN, _BOOKKEEPING = (
    frozenset(names.split()) for names in (_LOWER_IS_BETTER, _AT_MOST_ALL, _OPEN_ENDED, _NO_RESULT)
)
_TRAIN = frozenset({"train", "training", "trn"})
_VALIDATION = frozenset({"val", "valid", "validation", "eval", "evaluation", "dev"})
_TEST = frozenset({"test"})
_EXTREME = frozenset({"max", "min"})
_PREFERRED = ("miou", "accuracy", "acc", "top", "map", "dice", "f", "ap", "iou", "auc", "reward")
_FRACTION, _PER_CENT = 1.0, 100.0


@dataclass(frozen=True)
class Unit:
    """How values of a metric are shown; the tables themselves keep the unit of the logs."""

    scale: float = 1.0
    """A value times this is what is shown: 100 for fractions, which are shown as points."""
    decimals: int = 1
    """Of a value; a gain is shown with one more."""
    name: str = ""
    """`points`, or nothing."""

    def value(self, value: float) -> str:
        """Show a value."""
        return "" if math.isnan(value) else f"{value * self.scale:,.{self.decimals}f}"

    def gain(self, gain: float) -> str:
        """Show a difference of two values, with its sign; what rounds to nothing has none."""
        digits = self.decimals + 1
        if math.isnan(gain):
            return ""
        shown = round(gain * self.scale, digits)
        return f"{shown:+,.{digits}f}" if shown else f"{0:.{digits}f}"


def choose_metric(points: pd.DataFrame, wanted: str | None) -> tuple[str, list[str]]:
    """Return the metric to report and the others, the likeliest first.

    Of what half of the runs have and what is a result at all: results of training come last, a
    quality before a loss, validation before test before what is not said, then what most runs have.
    Raise `LogError` where `wanted` is not in the logs.
    """
    finite = points[np.isfinite(points["value"])]
    by_name = finite.groupby("metric", observed=True)
    num_runs = {str(name): int(num) for name, num in by_name["run"].nunique().items() if num}
    if not num_runs:
        raise LogError("no metric with a finite value in these logs")
    if wanted is not None and wanted not in num_runs:
        near = get_close_matches(wanted, num_runs, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise LogError(f"unknown metric {wanted!r}{hint}; found: {_some(sorted(num_runs))}")
    spans = by_name["value"].max() - by_name["value"].min()
    constant = {str(name) for name, span in spans.items() if span == 0}
    most = max(num_runs.values())

    def rank(name: str) -> tuple[object, ...]:
        rare = 2 * num_runs[name] < most
        return rare, name in constant, *_rank(name), -num_runs[name], *_taste(name)

    ranked = sorted(num_runs, key=rank)
    metric = ranked[0] if wanted is None else wanted
    return metric, [name for name in ranked if name != metric]


def direction(metric: str, mode: str = "auto") -> str:
    """Return `max` or `min`: `mode` itself, or what the name of the metric says."""
    return mode if mode != "auto" else "min" if _falls(_words(metric)) else "max"


def unit_of(metric: str, values: Floats) -> Unit:
    """Return how to show the finite `values` of a metric: in points, or in four digits."""
    if not values.size:
        return Unit()
    top = float(np.max(np.abs(values)))
    if _BOUNDED & _words(metric) and float(np.min(values)) >= 0 and top <= _PER_CENT:
        return Unit(_PER_CENT if top <= _FRACTION else 1.0, 1, "points")
    return Unit(decimals=int(np.clip(3 - _exponent(float(np.median(np.abs(values)))), 0, 6)))


def _exponent(value: float) -> int:
    return math.floor(math.log10(value)) if value > 0 else 0


def _words(metric: str) -> set[str]:
    """Return the words of a name, also those of `valLoss`, and without the digits of `top1`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", metric).lower()
    found = {word for text in (metric.lower(), apart) for word in _WORD.findall(text)}
    return found | {word.rstrip("0123456789") for word in found}


def _falls(words: set[str]) -> bool:
    """Tell whether less is better: one word says so, or ends in `loss`."""
    return any(word in _DOWN or word.endswith("loss") for word in words)


def _rank(name: str) -> tuple[bool, bool, bool, int]:
    words = _words(name)
    said = 0 if words & _VALIDATION else 1 if words & _TEST else 2
    quality = bool(words & (_BOUNDED | _OPEN)) and not _falls(words)
    return bool(words & _BOOKKEEPING), bool(words & _TRAIN), not quality, said


def _taste(name: str) -> tuple[bool, bool, int, int, str]:
    words = _words(name)
    known = [place for place, word in enumerate(_PREFERRED) if word in words]
    return (
        _falls(words),
        bool(words & _EXTREME),
        known[0] if known else len(_PREFERRED),
        len(name),
        name,
    )


def _some(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
