"""The source's expectations beside what was measured: confirmed, refuted, or it cannot be told."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.bootstrap import Draws, interval, resampled_means
from thaw.cyclic.gains import Step, identity_interval, seed_interval, steps_of, student
from thaw.cyclic.options import Options
from thaw.cyclic.reading import FIRST, Span, Trial

CONFIRMED, AGREES, REFUTED, UNKNOWN = "confirmed", "agrees", "refuted", "cannot tell"
_RESOLUTIONS = (16, 24, 32)
_LEVELS = {  # px -> accuracy in per cent without cycle, after one, after two
    16: ((30, 35), (38, 45), (40, 48)),
    24: ((35, 42), (43, 52), (45, 55)),
    32: ((40, 48), (48, 58), (50, 60)),
}
_GAINS = {  # cycle -> points
    "cycle1": (8, 15),
    "cycle2": (2, 5),
    "cycle3": (0, 1),
    "retrain3": (-5, -2),
}
_BASELINE = 34.87
"""The source names this one figure, without a range."""
NARROW = 5.0
"""Points: the narrowest range that the source gives of an accuracy."""


@dataclass(frozen=True)
class Claim:
    """What the source expects."""

    text: str
    low: float
    high: float
    """In the unit of what is measured: points, per cent, dB, or the loss itself."""
    measured: Callable[[Sequence[Trial], Options], tuple[float, float, float, int]]
    """(trials, options) -> (value, low, high, number of distinct states)."""


def claims_table(trials: Sequence[Trial], options: Options) -> pd.DataFrame:
    """Return a row for each expectation: its range, what was measured, and the verdict."""
    rows = []
    for claim in _claims():
        value, low, high, number = claim.measured(trials, options)
        rows.append(
            {
                "expectation": claim.text,
                "expected_low": claim.low,
                "expected_high": claim.high,
                "measured": value,
                "low": low,
                "high": high,
                "num_states": number,
                "verdict": verdict(claim.low, claim.high, low, high),
            }
        )
    return pd.DataFrame(rows)


def verdict(claimed_low: float, claimed_high: float, low: float, high: float) -> str:
    """Judge an interval by a claimed range: inside it, apart from it, or neither.

    No interval lies inside of a single figure: it agrees where it holds it and is narrow.
    """
    if math.isnan(low) or math.isnan(high):
        return UNKNOWN
    if high < claimed_low or low > claimed_high:
        return REFUTED
    if claimed_low == claimed_high:
        return AGREES if high - low <= NARROW else UNKNOWN
    return CONFIRMED if low >= claimed_low and high <= claimed_high else UNKNOWN


def _claims() -> list[Claim]:
    claims = [Claim("accuracy without cycle, %", _BASELINE, _BASELINE, _level(None, FIRST))]
    claims += [
        Claim(f"gain of {_cycle_words(name)}, points", low, high, _gain(name))
        for name, (low, high) in _GAINS.items()
    ]
    claims += [
        Claim(f"{px} px, accuracy {_after_words(number)}, %", *ends, _level(px, name))
        for px in _RESOLUTIONS
        for number, (name, ends) in enumerate(
            zip((FIRST, "cycle1", "cycle2"), _LEVELS[px], strict=True)
        )
    ]
    for name, identity, psnr in (
        (FIRST, (0.20, 0.25), (26, 28)),
        ("cycle1", (0.12, 0.18), (27, 29)),
    ):
        after = "before cycles" if name == FIRST else "after the first cycle"
        claims.append(Claim(f"identity loss {after}", *identity, _metric("val_identity", name)))
        claims.append(Claim(f"PSNR {after}, dB", *psnr, _metric("val_psnr", name)))
    return claims


def _cycle_words(name: str) -> str:
    return f"full retrain {name[-1]}" if name.startswith("retrain") else f"cycle {name[-1]}"


def _after_words(number: int) -> str:
    return ("without cycle", "after one cycle", "after two cycles")[number]


def _gain(name: str) -> Callable[[Sequence[Trial], Options], tuple[float, float, float, int]]:
    """Measure the mean gain of a cycle; the interval holds that over people and that over seeds."""

    def measured(trials: Sequence[Trial], options: Options) -> tuple[float, float, float, int]:
        found = {
            (step.before.end.key, step.after.end.key): step
            for trial in trials
            for step in steps_of(trial)
            if step.name == name
        }
        steps = list(found.values())
        if not steps:
            return math.nan, math.nan, math.nan, 0
        by_people = [
            identity_interval([s for s in steps if s.trial.config.resolution == px], options)
            for px in sorted({step.trial.config.resolution for step in steps})
        ]
        by_seed = seed_interval(steps, _points, options)[:2]
        lows, highs = zip(
            *[(100 * low, 100 * high) for low, high in by_people], by_seed, strict=True
        )
        value = float(np.mean([_points(step) for step in steps]))
        return value, _least(lows), -_least([-high for high in highs]), len(steps)

    return measured


def _points(step: Step) -> float:
    return 100 * step.gain


def _least(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return min(known, default=math.nan)


def _level(
    px: int | None, name: str
) -> Callable[[Sequence[Trial], Options], tuple[float, float, float, int]]:
    """Measure the mean accuracy after a round, in per cent, with an interval over people."""

    def measured(trials: Sequence[Trial], options: Options) -> tuple[float, float, float, int]:
        spans = _states([t for t in trials if px in (None, t.config.resolution)], name)
        if not spans:
            return math.nan, math.nan, math.nan, 0
        value = 100 * float(np.mean([span.end.metrics["val_accuracy"] for span in spans]))
        tables = [np.array(span.probes, float) for span in spans]
        if not tables[0].size or any(table.shape != tables[0].shape for table in tables):
            return value, math.nan, math.nan, len(spans)
        counts = np.mean(tables, axis=0)[:, [1, 0]]
        rng = np.random.default_rng(options.seed)
        draws = resampled_means(counts, np.arange(len(counts)), rng, options.draws)
        shares = Draws(draws.means[:, :1] / draws.means[:, 1:], draws.num_clusters)
        low, high = 100 * interval(shares, options.level / 100)[0]
        return value, float(low), float(high), len(spans)

    return measured


def _metric(
    metric: str, name: str
) -> Callable[[Sequence[Trial], Options], tuple[float, float, float, int]]:
    """Measure the mean of a metric after a round, with an interval over distinct states."""

    def measured(trials: Sequence[Trial], options: Options) -> tuple[float, float, float, int]:
        values = [span.end.metrics[metric] for span in _states(trials, name)]
        mean = float(np.mean(values)) if values else math.nan
        return mean, *student(values, options), len(values)

    return measured


def _states(trials: Sequence[Trial], name: str) -> list[Span]:
    """Return the distinct states at the end of a round."""
    found = {span.end.key: span for t in trials for span in t.rounds if span.name == name}
    return list(found.values())
