"""Which trials can be trained beside another one, on a real task."""

from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial

from tests.training.helpers import TinyTask, schedule, stage
from thaw.callbacks import Parting
from thaw.fusing import Fusing
from thaw.searcher import ScheduleSearcher
from thaw.trials import FixedList, Proposal
from trainables.slot import TRIAL, Assignment
from trainables.spec import TrialSpec
from training.classification import Classification, ClassifierConfig
from training.errors import UserError
from training.schedule import Schedule
from training.settings import Place
from training.store import Store
from training.task import facts_of
from training.walk import foresee

TASK = Classification(ClassifierConfig(image_size=16))
FACTS = facts_of(TASK, seed=0, place=Place())
MODELS = TASK.build(0)
HEAD: dict[str, Any] = {"groups": {"head": 1.0, "*": "frozen"}, "batchnorm": "eval_frozen"}
DROPS = {"kind": "piecewise", "drops": [{"at_epoch": 2, "factor": 0.1}]}
SETTLES = {"until": {"any": [{"kind": "accuracy_settled", "points": 1.0}]}}


def plan(lr: float, epochs: int = 3, **fields: Any) -> Schedule:
    """An epoch of everything, `epochs` of the head alone, and one of everything."""
    full = {"epochs": 1, "data": "target"}
    head = HEAD | {"epochs": epochs, "data": "target", "lr": lr} | fields
    return schedule(stage(**full), stage(**head), stage(**full))


def proposal(trial: Schedule, done: int = 1) -> Proposal:
    keys = foresee(trial, FACTS)
    assignment = Assignment("0000", TrialSpec(system="classifier", schedule=trial), FACTS)
    return Proposal(values={}, assignment=assignment, keys=keys, done=done)


def together(leader: Proposal, other: Proposal) -> range | None:
    found = Fusing(4, TASK, MODELS).beside(leader)
    return None if found is None else found(other)


LEADER = plan(1e-2)


@pytest.mark.parametrize(
    ("other", "segments"),
    [
        (plan(1e-3), range(1, 4)),
        (plan(1e-3, loss={"label_smoothing": 0.1}), range(1, 4)),
        (plan(1e-3, epochs=2), range(1, 3)),
        (plan(1e-3, epochs=9), range(1, 4)),
        (plan(1e-2, curve=DROPS), range(3, 4)),
        (plan(1e-3, batch_size=8), range(0)),
        (plan(1e-3, groups={"*": 1.0}), range(0)),
        (LEADER, range(0)),
        (plan(1e-3, **SETTLES), range(0)),
    ],
)
@pytest.mark.parametrize("done", [0, 1])
def test_from_where_they_part_until_they_differ_in_more_than_numbers(
    other: Schedule, segments: range, done: int
) -> None:
    assert together(proposal(LEADER, done), proposal(other, done)) == segments


def test_those_that_are_elsewhere_or_parted_before_are_not_beside() -> None:
    assert together(proposal(LEADER), proposal(plan(1e-3), done=2)) == range(0)
    assert together(proposal(LEADER, done=2), proposal(plan(1e-3), done=2)) == range(2, 4)
    elsewhere = schedule(*(stage(epochs=1, lr=0.5, data="target"), *plan(1e-3).stages[1:]))
    assert not together(proposal(LEADER), proposal(elsewhere))


@pytest.mark.parametrize("done", [4, 5])
def test_nobody_is_beside_a_trial_that_trains_no_head_alone_any_more(done: int) -> None:
    assert together(proposal(LEADER, done), proposal(plan(1e-3), done)) is None


def test_nobody_is_beside_a_trial_whose_course_is_open() -> None:
    assert together(proposal(plan(1e-2, **SETTLES)), proposal(plan(1e-3))) is None


def test_a_leader_that_is_tried_again_goes_on_alone(tmp_path: Path) -> None:
    searcher = ScheduleSearcher(
        FixedList([proposal(LEADER), proposal(plan(1e-3))]),
        store=Store(str(tmp_path)),
        metric="val_accuracy",
        mode="max",
        num_slots=2,
        fusing=Fusing(4, TASK, MODELS),
    )
    trial = Trial("slot", trial_id="a", config=searcher.suggest("a"), stub=True)
    assert len(trial.config[TRIAL].fellows) == 1
    assert searcher.suggest("b") is None, "it is trained beside the other"
    Parting(searcher.part).on_trial_recover(0, [], trial)
    assert trial.config[TRIAL].fellows == ()
    assert isinstance(searcher.suggest("b"), dict)


def test_a_task_that_cannot_be_taken_apart_is_refused() -> None:
    with pytest.raises(UserError, match=r"--fuse 4: models of tiny .*; allowed: 1"):
        Fusing(4, TinyTask(), MODELS)
