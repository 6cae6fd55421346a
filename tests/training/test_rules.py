"""Rules over records, by hand: when each signal holds, and what it needs."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.errors import UserError
from training.record import Record
from training.rules import Rule
from training.walk import UNKNOWN


def records(**metrics: Sequence[float]) -> list[Record]:
    """Return one record for each place of the lists."""
    columns = [dict(zip(metrics, row, strict=True)) for row in zip(*metrics.values(), strict=True)]
    return [replace(UNKNOWN, metrics=row) for row in columns]


def holds(signal: dict[str, Any], *, earlier: Sequence[Record] = (), **metrics: Any) -> bool:
    """Tell whether a signal alone holds."""
    return bool(Rule.parse({"any": [signal]}).holding(records(**metrics), earlier))


FLAT = {"kind": "loss_flat", "drop": 0.1, "patience": 2}
SETTLED = {"kind": "accuracy_settled", "points": 1.0, "patience": 1}
STEADY = {"kind": "train_steady", "noise": 0.05, "patience": 2}
GAP = {"kind": "gap_steady", "points": 2.0, "patience": 1}
OPENS = {"kind": "gap_opens", "points": 2.0, "patience": 1}
PLATEAU = {"kind": "plateau", "patience": 2, "min_delta": 0.1}
OVERFITS = {"kind": "overfits", "patience": 2}
HURTS = {"kind": "hurts", "points": 1.0, "patience": 2}
EXPLODES = {"kind": "explodes"}
LEAP = {"train_loss": [0.2341, 1.5678], "val_loss": [0.2341, 1.5678]}
STUCK = {"kind": "stuck", "points": 1.0, "patience": 5}
BELOW = {"kind": "below", "metric": "val_iou", "value": 0.66, "patience": 3}
BEFORE = records(val_accuracy=[0.7, 0.8])

CASES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    (EXPLODES, LEAP | {"val_iou": [0.6350, 0.1234]}, True),
    (EXPLODES, LEAP | {"train_loss": [0.3, 0.3], "val_iou": [0.6350, 0.1234]}, True),
    (EXPLODES, LEAP | {"val_loss": [0.3, 0.3], "val_iou": [0.6350, 0.1234]}, True),
    (EXPLODES, LEAP | {"val_iou": [0.6350, 0.6300]}, False),
    (
        EXPLODES,
        {"train_loss": [0.3, 0.4], "val_loss": [0.3, 0.4], "val_iou": [0.6350, 0.1234]},
        False,
    ),
    (EXPLODES, {"train_loss": [0.3], "val_loss": [0.2341], "val_iou": [0.6350]}, False),
    (STUCK, {"val_iou": [0.62, 0.621, 0.62, 0.621, 0.62]}, True),
    (STUCK, {"val_iou": [0.62, 0.621, 0.62, 0.621]}, False),
    (STUCK, {"val_iou": [0.62, 0.63, 0.64, 0.65, 0.66]}, False),
    (BELOW, {"val_iou": [0.60, 0.65, 0.65]}, True),
    (BELOW, {"val_iou": [0.60, 0.67, 0.68]}, False),
    (BELOW, {"val_iou": [0.60, 0.65]}, False),
    (FLAT, {"val_loss": [1.0, 0.95, 0.90]}, True),
    (FLAT, {"val_loss": [1.0, 0.95, 0.85]}, False),
    (FLAT, {"val_loss": [1.0, 0.8, 0.79]}, False),
    (FLAT, {"val_loss": [5.0, 1.0, 1.2, 1.1]}, True),
    (FLAT, {"val_loss": [1.0, 1.0]}, False),
    (SETTLED, {"val_accuracy": [0.5, 0.509]}, True),
    (SETTLED, {"val_accuracy": [0.5, 0.511]}, False),
    (SETTLED, {"val_accuracy": [0.511, 0.5]}, False),
    (SETTLED, {"val_accuracy": [0.5]}, False),
    (STEADY, {"train_loss": [1.0, 0.9, 0.8]}, True),
    (STEADY, {"train_loss": [1.0, 0.5, 0.9]}, False),
    (GAP, {"train_accuracy": [0.6, 0.7], "val_accuracy": [0.6, 0.69]}, True),
    (GAP, {"train_accuracy": [0.6, 0.7], "val_accuracy": [0.6, 0.67]}, False),
    (OPENS, {"train_accuracy": [0.6, 0.7], "val_accuracy": [0.6, 0.67]}, True),
    (OPENS, {"train_accuracy": [0.6, 0.7], "val_accuracy": [0.6, 0.69]}, False),
    (PLATEAU, {"val_loss": [1.0, 0.95, 0.91]}, True),
    (PLATEAU, {"val_loss": [1.0, 0.95, 0.89]}, False),
    (PLATEAU, {"val_loss": [1.0, 0.5, 0.49, 0.48]}, True),
    (
        PLATEAU | {"metric": "val_accuracy", "mode": "max", "min_delta": 0.0},
        {"val_accuracy": [0.5, 0.5, 0.4]},
        True,
    ),
    (OVERFITS, {"val_loss": [0.5, 0.6, 0.7], "val_accuracy": [0.8, 0.8, 0.8]}, True),
    (OVERFITS, {"val_loss": [0.5, 0.6, 0.7], "val_accuracy": [0.8, 0.8, 0.81]}, False),
    (OVERFITS, {"val_loss": [0.5, 0.6, 0.6], "val_accuracy": [0.8, 0.8, 0.8]}, False),
]


@pytest.mark.parametrize(("signal", "metrics", "expected"), CASES, ids=str)
def test_signals_by_hand(signal: dict[str, Any], metrics: dict[str, Any], expected: bool) -> None:
    assert holds(signal, **metrics) is expected


@pytest.mark.parametrize(
    ("values", "expected"), [([0.5, 0.78], True), ([0.5, 0.79], False), ([0.5], False)], ids=str
)
def test_a_stage_hurts_when_it_stays_below_those_before(
    values: list[float], expected: bool
) -> None:
    assert holds(HURTS, earlier=BEFORE, val_accuracy=values) is expected
    assert not holds(HURTS, val_accuracy=values)


def test_all_and_any() -> None:
    seen = records(val_loss=[1.0, 1.0, 1.0], val_accuracy=[0.5, 0.6, 0.7])
    both = [FLAT, SETTLED]
    assert Rule.parse({"any": both}).holding(seen, ()) == ("loss_flat",)
    assert Rule.parse({"all": both}).holding(seen, ()) == ()
    calm = records(val_loss=[1.0, 1.0, 1.0], val_accuracy=[0.5, 0.5, 0.5])
    assert Rule.parse({"all": both}).holding(calm, ()) == ("loss_flat", "accuracy_settled")


def test_nothing_holds_before_its_time() -> None:
    rule = Rule.parse({"any": [SETTLED], "after": 3})
    calm = records(val_accuracy=[0.5] * 5)
    assert rule.needs == 4
    assert [bool(rule.holding(calm[:num], ())) for num in range(1, 6)] == [False] * 3 + [True] * 2


@given(
    signal=st.sampled_from([FLAT, SETTLED, STEADY, GAP, OPENS, PLATEAU, OVERFITS, HURTS]),
    patience=st.integers(2, 5),
    num=st.integers(1, 8),
    data=st.data(),
)
def test_no_signal_holds_before_what_it_needs(
    signal: dict[str, Any], patience: int, num: int, data: st.DataObject
) -> None:
    values = st.lists(st.floats(0, 1), min_size=num, max_size=num)
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    seen = records(**{name: data.draw(values) for name in names})
    rule = Rule.parse({"any": [signal | {"patience": patience}]})
    if rule.holding(seen, BEFORE):
        assert num >= rule.needs


@pytest.mark.parametrize("signal", [FLAT, SETTLED, GAP, OPENS, OVERFITS, HURTS], ids=str)
def test_what_is_no_number_never_holds(signal: dict[str, Any]) -> None:
    nothing = [math.nan] * 4
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    assert not holds(signal, **dict.fromkeys(names, nothing))


def test_records_that_are_not_known_decide_nothing() -> None:
    assert Rule.parse({"any": [SETTLED]}).holding([UNKNOWN] * 5, ()) == ()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "under `all` or under `any`"),
        ({"all": [FLAT], "any": [FLAT]}, "under `all` or under `any`"),
        ({"any": [{"kind": "flat"}]}, "loss_flat"),
        ({"any": [FLAT | {"patience": 0}]}, "greater than or equal to 1, got 0"),
        ({"any": [FLAT | {"points": 1}]}, "unknown field 'points'"),
    ],
    ids=str,
)
def test_a_rule_that_makes_no_sense_is_told(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Rule.parse(rule)


def test_a_metric_that_there_is_not_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown metric in a rule: 'miou'.*val_loss"):
        holds(PLATEAU | {"metric": "miou"}, val_loss=[1.0, 1.0, 1.0])


IOU = {"val_iou": [0.50, 0.508, 0.509], "train_iou": [0.5, 0.6, 0.7], "val_loss": [0.5, 0.6, 0.7]}


@pytest.mark.parametrize(
    ("signal", "expected"), [(SETTLED, True), (GAP, False), (OPENS, True), (OVERFITS, False)]
)
def test_a_signal_looks_at_the_metric_that_it_names(signal: dict[str, Any], expected: bool) -> None:
    assert holds(signal | {"metric": "val_iou"}, **IOU) is expected
    with pytest.raises(UserError, match=r"unknown metric in a rule: '(val|train)_accuracy'"):
        holds(signal, **IOU)


def test_a_stage_may_hurt_another_metric() -> None:
    earlier = records(val_iou=[0.7, 0.8])
    assert holds(HURTS | {"metric": "val_iou"}, earlier=earlier, val_iou=[0.5, 0.78])


def test_only_signals_without_a_metric_are_given_one() -> None:
    plateau = PLATEAU | {"metric": "val_psnr"}
    rule = Rule.parse({"all": [SETTLED, FLAT, plateau]}).measured_by("val_iou")
    expected = {"all": [SETTLED | {"metric": "val_iou"}, FLAT, plateau]}
    assert rule == Rule.parse(expected)


def test_an_explosion_in_the_first_epoch_is_seen_against_the_stage_before() -> None:
    earlier = records(train_loss=[0.3, 0.3], val_loss=[0.25, 0.2341], val_iou=[0.63, 0.6350])
    leapt = {"train_loss": [0.3], "val_loss": [1.5678], "val_iou": [0.1234]}
    assert holds(EXPLODES, earlier=earlier, **leapt)
    assert not holds(EXPLODES, earlier=earlier, train_loss=[0.3], val_loss=[0.3], val_iou=[0.6])


def test_stuck_looks_at_the_gain_over_the_stages_before() -> None:
    earlier = records(val_iou=[0.61, 0.62, 0.62])
    assert holds(STUCK, earlier=earlier, val_iou=[0.62] * 5)
    assert not holds(STUCK, earlier=earlier, val_iou=[0.65] * 5), "it gained in its first epoch"
