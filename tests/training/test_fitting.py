"""What a schedule must fit: rules that can decide, stages to go back to that are there."""

from typing import Any

import pytest

from tests.training.helpers import TinyTask, facts, schedule, stage
from training.errors import UserError

FACTS = facts(TinyTask())
HEAD: dict[str, Any] = {"name": "head", "groups": {"head": 1.0, "*": "frozen"}, "lr": 0.01}
FULL: dict[str, Any] = {"name": "full", "groups": {"head": 1.0, "*": 0.1}}
SGD: dict[str, Any] = FULL | {"name": "sgd", "optimizer": {"kind": "sgd"}}
KEEPS: dict[str, Any] = {"name": "kept", "keep_optimizer": True}
SIGNAL = {"kind": "accuracy_settled", "points": 1.0, "patience": 1}
HURT = {"kind": "hurts", "points": 1.0, "patience": 2}
HURTS = {"any": [HURT]}
OPENS = {"any": [{"kind": "gap_opens", "points": 5.0, "patience": 1}]}


def check(*stages: dict[str, Any]) -> None:
    """Raise `UserError` where the stages do not fit the tiny task."""
    schedule(*(stage(**one) for one in stages)).check(FACTS)


def test_any_of_several_signals_may_look_at_what_there_is_not() -> None:
    check(FULL | {"epochs": 4, "until": {"any": [SIGNAL, HURT]}})


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            [HEAD | {"epochs": 2, "until": {"any": [{"kind": "loss_flat", "patience": 4}]}}],
            r"stages.0 \(head\).until: can never decide.*needs 5 epochs.*ends after 2",
        ),
        (
            [FULL | {"epochs": 4, "until": HURTS}],
            r"stages.0 \(full\).until: can never decide.*hurts looks at an earlier stage.*after 4",
        ),
        (
            [HEAD | {"data": "source"}, FULL | {"epochs": 4, "until": {"all": [SIGNAL, HURT]}}],
            r"stages.1 \(full\).until: can never decide.*hurts looks at an earlier stage",
        ),
        (
            [HEAD | {"epochs": 4, "until": {"any": [SIGNAL | {"points": 0}]}}],
            "points: Input should be greater than 0",
        ),
        (
            [HEAD | {"roll_back": {"when": HURTS}}],
            r"stages.0 \(head\).roll_back: there must be a stage before",
        ),
        (
            [HEAD, FULL | {"roll_back": {"when": HURTS, "to": "haed"}}],
            r"unknown stage in stages.1 \(full\).roll_back.to: 'haed'.*'head'",
        ),
        (
            [HEAD | {"data": "source"}, FULL | {"roll_back": {"when": HURTS}}],
            r"stages.1 \(full\).roll_back: there must be a stage before",
        ),
        (
            [FULL | {"epochs": 4, "react": [{"when": OPENS, "freeze": ["stemm"]}]}],
            r"unknown layer group in stages.0 \(full\).react.freeze: 'stemm'",
        ),
        (
            [FULL | {"epochs": 4, "react": [{"when": OPENS, "freeze": ["*"]}]}],
            r"stages.0 \(full\).react.freeze: leaves nothing to train",
        ),
        ([FULL | {"epochs": 4, "react": [{"when": OPENS}]}], "changes nothing"),
        (
            [HEAD, FULL | {"roll_back": {"when": HURTS, "tries": 1}}],
            "further try at the same LR",
        ),
        (
            [HEAD, FULL | {"roll_back": {"when": HURTS}}, FULL | {"keep_optimizer": True}],
            r"stages.2 \(full\).keep_optimizer: the stage before may go back",
        ),
        (
            [HEAD, SGD | {"only_if": {"after": ["head"]}}, SGD | KEEPS],
            r"stages.2 \(kept\).keep_optimizer: .* same optimizer, also where one is left out",
        ),
        (
            [HEAD, SGD, SGD | KEEPS | {"roll_back": {"when": HURTS, "to": "head"}}],
            r"stages.2 \(kept\).keep_optimizer: .* same optimizer, .* gone back to",
        ),
    ],
    ids=str,
)
def test_rules_that_cannot_work_are_told(stages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(*stages)
