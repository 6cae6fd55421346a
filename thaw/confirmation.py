"""Whether one schedule is better than another, from values over the same seeds; computed only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy import stats

_SURE = 0.05


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The search's best schedule against another, seed by seed."""

    other: str
    num_seeds: int
    """Seeds for which both have a value."""
    difference: float
    """Mean of best minus other, larger is better; NaN where no seed has both."""
    low: float
    high: float
    """95 % confidence interval of the difference (Student's t, paired by seed)."""
    p: float
    """Of a one-sided paired t test that the best is better, corrected for the number of
    comparisons (Holm 1979); NaN for fewer than two seeds."""

    @property
    def is_better(self) -> bool:
        """Tell whether the best schedule is better beyond chance, at 5 %."""
        return self.p < _SURE


def compare_with(
    best: str, others: Sequence[str], values: Mapping[str, Mapping[int, float]], mode: str
) -> list[Comparison]:
    """Compare `best` with each of `others`; `values` is schedule -> seed -> value.

    The schedule that is called best was chosen before these seeds were trained, and these seeds
    are not the search's: neither the choice nor the luck of the search is in the test.
    """
    sign = 1 if mode == "max" else -1
    found = []
    for other in others:
        shared = sorted(set(values[best]) & set(values[other]))
        differences = [sign * (values[best][seed] - values[other][seed]) for seed in shared]
        found.append(_comparison(other, differences))
    return _holm(found)


def _comparison(other: str, differences: Sequence[float]) -> Comparison:
    nan = float("nan")
    mean = fmean(differences) if differences else nan
    low = high = p = nan
    if len(differences) > 1 and max(differences) > min(differences):
        tested = stats.ttest_1samp(differences, 0.0, alternative="two-sided")
        low, high = (float(end) for end in tested.confidence_interval(0.95))
        p = float(stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)
    elif len(differences) > 1:  # all differ by the same: no spread to test against
        low, high, p = mean, mean, 0.0 if mean > 0 else 1.0
    return Comparison(
        other=other, num_seeds=len(differences), difference=mean, low=low, high=high, p=p
    )


def _holm(found: Sequence[Comparison]) -> list[Comparison]:
    """Correct the p values for how many there are; the smallest is multiplied most."""
    ranked = sorted((c for c in found if c.p == c.p), key=lambda comparison: comparison.p)
    corrected: dict[str, float] = {}
    at_least = 0.0
    for rank, comparison in enumerate(ranked):
        at_least = max(at_least, min(1.0, comparison.p * (len(ranked) - rank)))
        corrected[comparison.other] = at_least
    return [
        Comparison(**{**vars(comparison), "p": corrected.get(comparison.other, comparison.p)})
        for comparison in found
    ]
