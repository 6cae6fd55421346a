"""Tests of one schedule against others: scipy as the oracle, and the cases without a spread."""

import json
import math
from pathlib import Path

import pytest
from scipy import stats

from thaw.confirm import CONFIRM, compare_seeds
from thaw.confirmation import compare_with
from thaw.console import PlainConsole
from thaw.results import Row, Table

BEST = {1: 0.90, 2: 0.92, 3: 0.91, 4: 0.95, 5: 0.93}
CLOSE = {1: 0.91, 2: 0.90, 3: 0.91, 4: 0.94, 5: 0.94}
WORSE = {1: 0.80, 2: 0.83, 3: 0.80, 4: 0.86, 5: 0.81}


def test_it_is_the_paired_one_sided_t_test() -> None:
    (found,) = compare_with("a", ["b"], {"a": BEST, "b": WORSE}, "max")
    oracle = stats.ttest_rel(list(BEST.values()), list(WORSE.values()), alternative="greater")
    assert found.p == pytest.approx(oracle.pvalue, rel=1e-9)
    assert found.is_better and found.low < found.difference < found.high


def test_a_difference_within_the_noise_is_not_shown() -> None:
    (found,) = compare_with("a", ["b"], {"a": BEST, "b": CLOSE}, "max")
    assert not found.is_better and found.low < 0 < found.high


def test_the_p_values_are_corrected_for_their_number() -> None:
    alone = compare_with("a", ["b"], {"a": BEST, "b": WORSE}, "max")[0].p
    both = compare_with("a", ["b", "c"], {"a": BEST, "b": WORSE, "c": CLOSE}, "max")
    assert both[0].p == pytest.approx(2 * alone)
    assert both[1].p >= both[0].p


def test_for_a_loss_smaller_is_better() -> None:
    (found,) = compare_with("a", ["b"], {"a": WORSE, "b": BEST}, "min")
    assert found.is_better and found.difference > 0


def test_only_seeds_that_both_have_count() -> None:
    (found,) = compare_with("a", ["b"], {"a": BEST, "b": {2: 0.5, 9: 0.1}}, "max")
    assert (found.num_seeds, math.isnan(found.p)) == (1, True)
    assert not found.is_better


def test_equal_values_are_not_better() -> None:
    (found,) = compare_with("a", ["b"], {"a": BEST, "b": BEST}, "max")
    assert not found.is_better and found.difference == 0


@pytest.mark.parametrize(("finished", "written"), [((), False), ((0.9,), True)])
def test_nothing_is_compared_before_a_trial_has_finished(
    finished: tuple[float, ...], written: bool, tmp_path: Path
) -> None:
    rows = {
        f"0000-seed{seed}": Row("", {"origin": "0000", "seed": seed}, "finished", "", best, best)
        for seed, best in enumerate(finished)
    }
    rows["baseline-seed0"] = Row("", {"origin": "baseline", "seed": 0}, "interrupted")
    table = Table("val_accuracy", "max", rows, num_trials=4)
    compare_seeds(table, ["0000", "baseline"], 2, tmp_path, PlainConsole())
    assert (tmp_path / CONFIRM).exists() == written
    if written:
        found = json.loads((tmp_path / CONFIRM).read_text())
        assert found["values"] == {"0000": {"0": 0.9}, "baseline": {}}
