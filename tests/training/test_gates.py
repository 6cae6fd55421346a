"""Gates and stops of cyclic training: every rule at its exact threshold, and in a schedule."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.course import Course, fold
from training.errors import UserError
from training.gates import Gate, Gates, Measured, judge
from training.record import Record
from training.schedule import Schedule, Stage
from training.walk import UNKNOWN


def at(accuracy: float, psnr_db: float = 26.0, identity: float = 0.2) -> Measured:
    return Measured(accuracy=accuracy, psnr_db=psnr_db, identity=identity)


RELATIVE = {"measure": "relative"}
CASES: list[tuple[list[Measured], dict[str, Any], str, str]] = [
    ([at(0.3487)], {}, "go_on", "first_cycle"),
    # go on to cycle 2 only after a gain of more than 10
    ([at(0.3487), at(0.4487)], {}, "stop", "second_cycle"),
    ([at(0.3487), at(0.4488)], {}, "go_on", "gained"),
    ([at(0.1), at(0.2)], {}, "stop", "second_cycle"),
    ([at(0.30), at(0.33)], RELATIVE, "stop", "second_cycle"),
    ([at(0.30), at(0.3301)], RELATIVE, "go_on", "gained"),
    ([at(0.3487), at(0.3836)], RELATIVE, "go_on", "gained"),
    ([at(0.3487), at(0.3836)], {}, "stop", "second_cycle"),
    # stop where a cycle gained less than 2
    ([at(0.30), at(0.3199)], {}, "stop", "least_gain"),
    ([at(0.30), at(0.32)], {}, "stop", "second_cycle"),
    ([at(0.3), at(0.45), at(0.4699)], {"max_cycles": 3}, "stop", "least_gain"),
    ([at(0.3), at(0.45), at(0.47)], {"max_cycles": 3}, "go_on", "gained"),
    # at most two cycles
    ([at(0.3), at(0.45), at(0.60)], {}, "stop", "max_cycles"),
    ([at(0.3), at(0.45), at(0.60)], {"max_cycles": 3}, "go_on", "gained"),
    # PSNR fell by more than 1 dB
    ([at(0.3), at(0.45, psnr_db=25.0)], {}, "go_on", "gained"),
    ([at(0.3, 27.1), at(0.45, psnr_db=26.1)], {}, "go_on", "gained"),
    ([at(0.3), at(0.45, psnr_db=24.99)], {}, "stop", "psnr_fell"),
    # identity loss below 0.05
    ([at(0.3), at(0.45, identity=0.05)], {}, "go_on", "gained"),
    ([at(0.3), at(0.45, identity=0.0499)], {}, "stop", "identity_floor"),
    # a fall of more than 5 is catastrophic, before all else
    ([at(0.35), at(0.30)], {}, "stop", "least_gain"),
    ([at(0.35), at(0.2999)], {}, "retrain", "catastrophic"),
    ([at(0.35), at(0.2, psnr_db=20.0, identity=0.01)], {}, "retrain", "catastrophic"),
    ([at(0.40), at(0.38)], RELATIVE, "stop", "least_gain"),
    ([at(0.40), at(0.3799)], RELATIVE, "retrain", "catastrophic"),
    # only the last cycle is judged
    ([at(0.5), at(0.3), at(0.41)], {"max_cycles": 3}, "go_on", "gained"),
    # from nothing
    ([at(0.0), at(0.01)], RELATIVE, "go_on", "gained"),
    ([at(0.0), at(0.0)], RELATIVE, "stop", "least_gain"),
    ([at(0.3), at(math.nan)], {}, "stop", "unknown"),
    ([at(0.3), at(0.5, psnr_db=math.nan)], {}, "stop", "unknown"),
]


@pytest.mark.parametrize(("measured", "changed", "action", "rule"), CASES)
def test_each_rule_at_its_threshold(
    measured: list[Measured], changed: dict[str, Any], action: str, rule: str
) -> None:
    verdict = judge(measured, Gates.parse(changed))
    assert (verdict.action, verdict.rule) == (action, rule), verdict.reason


def test_the_reason_has_the_figures() -> None:
    told = judge([at(0.3487), at(0.4487)], Gates()).reason
    assert told == "cycle 1 gained 10 points, not more than 10"
    told = judge([at(0.40), at(0.36)], Gates(measure="relative")).reason
    assert told.startswith("cycle 1 lost 10 % (relative), more than 5: catastrophic")


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5), st.sampled_from(["points", "relative"]))
def test_whatever_was_measured_there_is_one_verdict(values: list[float], measure: str) -> None:
    verdict = judge([at(value) for value in values], Gates.parse({"measure": measure}))
    assert verdict.reason and verdict.action in ("go_on", "stop", "retrain")
    if len(values) > 2:
        assert verdict.action != "go_on", "two cycles are the most"


def record(index: int, accuracy: float) -> Record:
    metrics = {
        "train_loss": 1.0,
        "val_accuracy": accuracy,
        "val_psnr": 26.0,
        "val_identity": 0.2,
    }
    plain = UNKNOWN.plain() | {"index": index, "metrics": metrics, "data": "target"}
    return Record.from_plain(plain)


def stage(name: str, gate: Gate | None = None) -> Stage:
    return Stage(name=name, epochs=2, lr=1e-3, only_if=gate)


GO_ON = Gate(after=("first", "cycle 1"))
RETRAIN = Gate(after=("first", "cycle 1"), says="retrain")
STAGES = (
    stage("first"),
    stage("cycle 1"),
    stage("retrain", RETRAIN),
    stage("cycle 2", GO_ON),
    stage("cycle 2 too", GO_ON),
)


def course(accuracies: Sequence[float]) -> Course:
    return fold(STAGES, [record(i, value) for i, value in enumerate(accuracies)])


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (0.451, [0, 0, 1, 1, 3, 3, 4, 4]),
        (0.45, [0, 0, 1, 1]),
        (0.37, [0, 0, 1, 1]),
        (0.25, [0, 0, 1, 1, 2, 2]),
    ],
)
def test_a_gated_stage_is_trained_where_its_gate_says_so(after: float, expected: list[int]) -> None:
    accuracies = [0.2, 0.35, 0.1, after]
    while not (found := course(accuracies)).is_over:
        accuracies.append(after)
    assert list(found.visited) == expected


def test_what_a_gate_decided_is_in_words_where_it_was_decided() -> None:
    accuracies = [0.2, 0.35, 0.1, 0.25]
    assert [course(accuracies[: num + 1]).event for num in range(4)] == [
        "",
        "",
        "",
        "cycle 1 lost 10 points, more than 5: catastrophic; train DSR from scratch, with a "
        "lower LR or identity weight: retrain begins",
    ]
    told = course([0.2, 0.35, 0.1, 0.45]).event
    assert "cycle 1 gained 10 points, not more than 10: cycle 2 is left out" in told


def test_the_gate_reads_and_writes_yaml() -> None:
    plan = Schedule(stages=STAGES)
    assert Schedule.parse(plan.plain()) == plan


def test_a_gate_names_earlier_stages(tmp_path: Any) -> None:
    from tests.training.helpers import TinyTask, facts

    plan = Schedule(stages=(stage("first"), stage("second", Gate(after=("second",)))))
    with pytest.raises(UserError, match=r"stages\.1 \(second\)\.only_if\.after: 'second'"):
        plan.check(facts(TinyTask()))


def test_a_task_without_these_metrics_is_told_so() -> None:
    with pytest.raises(UserError, match="unknown metric of a cycle: 'val_psnr'"):
        Measured.of({"val_accuracy": 0.5})
