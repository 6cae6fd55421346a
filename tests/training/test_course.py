"""Adaptive schedules: which stage comes when, what going back leaves, and exact resume."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.helpers import (
    TinyTask,
    facts,
    outcome,
    part_of,
    run,
    same,
    schedule,
    stage,
    state,
    trainer,
)
from training.course import Course, fold
from training.record import Record
from training.schedule import Schedule
from training.store import Store
from training.walk import UNKNOWN, foresee, path_to

TINY = TinyTask()
FACTS = facts(TINY)
HEAD: dict[str, Any] = {"name": "head", "groups": {"head": 1.0, "*": "frozen"}, "lr": 0.01}
FULL: dict[str, Any] = {"name": "full", "groups": {"head": 1.0, "*": 0.1}}
SETTLED = {"any": [{"kind": "accuracy_settled", "points": 1.0, "patience": 1}]}
HURTS = {"any": [{"kind": "hurts", "points": 1.0, "patience": 2}]}
(SIGNAL,), (HURT,) = SETTLED["any"], HURTS["any"]
OPENS = {"any": [{"kind": "gap_opens", "points": 5.0, "patience": 1}]}
ALWAYS = {"any": [{"kind": "accuracy_settled", "points": 100.0, "patience": 1}]}
NEVER_BETTER = {"any": [{"kind": "plateau", "min_delta": 100.0, "patience": 1}]}


def history(*accuracies: float, train: float = 0.0) -> list[Record]:
    """Return records with these validation accuracies on the target data."""
    metrics = [{"val_accuracy": value, "train_accuracy": train} for value in accuracies]
    return [replace(UNKNOWN, data="target", metrics=one) for one in metrics]


def adaptive(*stages: dict[str, Any], **fields: Any) -> Schedule:
    """Return a schedule that fits the tiny task."""
    plan = schedule(*(stage(**one) for one in stages), **fields)
    plan.check(FACTS)
    return plan


def lr(plan: Schedule, seen: list[Record]) -> float:
    """Return the LR of the next segment."""
    settings = plan.next(seen, FACTS)
    assert settings is not None
    return settings.lrs[0]


def test_a_stage_ends_when_its_rule_holds() -> None:
    plan = adaptive(HEAD | {"epochs": 5, "until": SETTLED}, FULL)
    names = [
        plan.stage_at(seen, len(seen)).name
        for num in range(5)
        for seen in [history(0.3, 0.5, 0.505, 0.6, 0.7)[:num]]
    ]
    assert names == ["head", "head", "head", "full", "full"]
    assert plan.next(history(0.3, 0.5, 0.505, 0.6, 0.7), FACTS) is None
    assert plan.event(history(0.3, 0.5, 0.505)) == "accuracy_settled: head ends"
    assert plan.event(history(0.3, 0.5)) == ""


def test_a_stage_ends_after_its_epochs_at_the_latest() -> None:
    plan = adaptive(HEAD | {"epochs": 3, "until": SETTLED}, FULL)
    assert plan.stage_at(history(0.1, 0.3, 0.5), 3).name == "full"


def test_an_adaptive_trial_shares_with_a_fixed_one_that_did_the_same() -> None:
    plan = adaptive(HEAD | {"epochs": 6, "until": SETTLED}, FULL)
    fixed = schedule(stage(**HEAD | {"epochs": 3}), stage(**FULL))
    seen = history(0.3, 0.5, 0.505, 0.6)
    for num in range(5):
        assert plan.next(seen[:num], FACTS) == fixed.next(seen[:num], FACTS)


def test_a_stage_that_hurts_goes_back_to_the_best_of_the_one_before() -> None:
    back = {"when": HURTS, "tries": 1, "lr": 0.5}
    plan = adaptive(HEAD | {"epochs": 3}, FULL | {"epochs": 4, "roll_back": back})
    seen = history(0.3, 0.8, 0.7, 0.4, 0.5)
    assert list(plan.way(seen)) == [0, 1]
    assert plan.event(seen) == "hurts: back to segment 2 (head), try 2 with LR x 0.5"
    settings = plan.next(seen, FACTS)
    assert settings is not None
    assert (settings.index, settings.lrs[0], settings.fresh_optimizer) == (2, 1.5e-3, True)
    again = [*seen, *history(0.4, 0.5)]
    assert list(plan.way(again)) == [0, 1]
    assert plan.next(again, FACTS) is None
    better = [*seen, *history(0.82, 0.83, 0.84, 0.85)]
    assert list(plan.way(better)) == [0, 1, 5, 6, 7, 8]
    assert plan.next(better, FACTS) is None


def test_going_back_to_a_stage_that_was_gone_back_from() -> None:
    back = {"when": HURTS}
    plan = adaptive(
        HEAD, FULL | {"epochs": 2, "roll_back": back}, FULL | {"name": "x", "roll_back": back}
    )
    seen = history(0.5, 0.8, 0.1, 0.1, 0.2, 0.2)
    assert list(plan.way(seen[:4])) == [0, 1]
    assert list(plan.way(seen)) == [0, 1]


def test_a_gap_that_opens_lowers_the_rates_and_freezes() -> None:
    react = {"when": OPENS, "lr": 0.5, "weight_decay": 3.0, "freeze": ["stem"], "times": 2}
    plan = adaptive(FULL | {"epochs": 8, "react": [react]})
    seen = [
        replace(one, metrics=one.metrics | {"train_accuracy": 0.5 + 0.1 * place})
        for place, one in enumerate(history(*[0.5] * 8))
    ]
    rates = [lr(plan, seen[:num]) for num in range(8)]
    assert rates == [3e-3, 3e-3, 1.5e-3, 1.5e-3, 0.75e-3, 0.75e-3, 0.75e-3, 0.75e-3]
    settings = plan.next(seen[:5], FACTS)
    assert settings is not None
    assert settings.optimizer.weight_decay == pytest.approx(9e-4)
    assert dict(settings.multipliers)["stem"] is None
    assert dict(settings.multipliers)["layer4"] is not None
    assert not settings.fresh_optimizer


def test_one_explosion_cuts_the_rates_once() -> None:
    """What follows it is compared with it, and no longer with what came before the stage."""
    when = {"any": [{"kind": "explodes"}]}
    react = {"when": when, "lr": 0.667, "times": 3}
    plan = adaptive(HEAD | {"epochs": 1}, FULL | {"epochs": 9, "react": [react]})
    measured = [(0.25, 0.63), (0.24, 0.64), (1.6, 0.12), (1.6, 0.12), (1.55, 0.13), (1.5, 0.15)]
    seen = [
        replace(one, metrics={"train_loss": loss, "val_loss": loss, "val_iou": iou})
        for one, (loss, iou) in zip(history(*[0] * 6), measured, strict=True)
    ]
    rates = [lr(plan, seen[: num + 1]) / 3e-3 for num in range(6)]
    assert rates == pytest.approx([1, 1, 0.667, 0.667, 0.667, 0.667])
    worse = replace(seen[-1], metrics={"train_loss": 9.0, "val_loss": 9.0, "val_iou": 0.01})
    assert lr(plan, [*seen, worse]) / 3e-3 == pytest.approx(0.667**2), "another explosion"


def test_going_back_within_a_stage_goes_on_with_its_curve() -> None:
    back = {"when": OPENS, "to": "full", "tries": 1, "lr": 0.5, "warmup": {"epochs": 1}}
    curve = {"kind": "step", "every_epochs": 1, "gamma": 0.1}
    plan = adaptive(HEAD, FULL | {"epochs": 4, "curve": curve, "roll_back": back})
    seen = history(0.3, 0.4, 0.5, 0.7, 0.68)
    seen.append(replace(seen[0], metrics={"val_accuracy": 0.1, "train_accuracy": 0.9}))
    assert list(plan.way(seen)) == [0, 1, 2, 3]
    assert plan.event(seen) == "gap_opens: back to segment 4 (full), try 2 with LR x 0.5"
    settings, again = (plan.next(known, FACTS) for known in (seen, [*seen, *history(0.7)]))
    assert settings is not None and again is not None
    assert (settings.index, settings.fresh_optimizer) == (4, False)
    third, num = 3e-3 * 0.5 * 0.01, settings.num_steps
    ramp = [0.01 + 0.99 * step / num for step in range(num)]
    assert settings.lrs == pytest.approx([third * factor for factor in ramp])
    assert again.lrs == pytest.approx([third * 0.1] * num)
    assert plan.next([*seen, *history(0.7, 0.7)], FACTS) is None


@pytest.mark.parametrize(
    ("pick", "way"), [("best", [0, 1, 2]), ("last", [0, 1, 2, 3])], ids=["best", "last"]
)
def test_the_checkpoint_to_go_back_to_is_chosen(pick: str, way: list[int]) -> None:
    back = {"when": OPENS, "to": "full", "pick": pick}
    plan = adaptive(HEAD, FULL | {"epochs": 4, "roll_back": back}, FULL | {"name": "last"})
    seen = history(0.3, 0.4, 0.7, 0.68)
    seen.append(replace(seen[0], metrics={"val_accuracy": 0.1, "train_accuracy": 0.9}))
    assert list(plan.way(seen)) == way
    assert plan.stage_at(seen, len(seen)).name == "last"


def test_a_first_stage_that_fails_at_once_begins_anew() -> None:
    bad = {"any": [{"kind": "below", "metric": "val_accuracy", "value": 0.5, "patience": 1}]}
    back = {"when": bad, "to": "full", "tries": 1, "lr": 0.1}
    plan = adaptive(FULL | {"epochs": 2, "roll_back": back})
    assert list(plan.way(history(0.1))) == []
    assert plan.event(history(0.1)) == (
        "below: back to segment 0 (the beginning), try 2 with LR x 0.1"
    )
    settings = plan.next(history(0.1), FACTS)
    assert settings is not None
    assert (settings.index, settings.lrs[0], settings.fresh_optimizer) == (
        0,
        pytest.approx(3e-4),
        True,
    )


def test_a_stage_is_lengthened_at_its_end_and_its_curve_with_it() -> None:
    short = {"any": [{"kind": "below", "metric": "val_accuracy", "value": 0.7, "patience": 3}]}
    curve = {"kind": "linear"}
    react = {"when": short, "longer": 3, "times": 2}
    plan = adaptive(FULL | {"epochs": 3, "curve": curve, "react": [react]})
    fixed = [adaptive(FULL | {"epochs": num, "curve": curve}) for num in (3, 6, 9)]
    seen = history(*[0.5] * 9)
    for num, same_as in ((0, 0), (2, 0), (3, 1), (5, 1), (6, 2), (9, 2)):
        assert plan.next(seen[:num], FACTS) == fixed[same_as].next(seen[:num], FACTS), num
    assert plan.event(seen[:3]) == "below: 3 epochs longer"
    assert plan.next(history(0.5, 0.9, 0.9), FACTS) is None


def test_what_is_foreseen_follows_what_is_known() -> None:
    plan = adaptive(HEAD | {"epochs": 4, "until": SETTLED}, FULL)
    blind = foresee(plan, FACTS)
    assert len(blind) == 6
    seen = history(0.3, 0.5, 0.505)
    known = dict(zip(blind, seen, strict=False))
    for one in known.values():
        one.metrics["train_loss"] = 1.0
    keys = foresee(plan, FACTS, known.get)
    assert keys[:3] == blind[:3] and len(keys) == 5 and keys[3] not in blind


def _until_over(plan: Schedule, seen: list[Record]) -> list[Record]:
    """Return the records up to the end of the plan, all folds of which were asked for."""
    taken: list[Record] = []
    for record in seen:
        if fold(plan.stages, taken).is_over:
            break
        taken.append(record)
    return taken


def _stands(course: Course) -> dict[str, Any]:
    """Return all that a course says; its stages and history are what it was made from."""
    return {name: value for name, value in vars(course).items() if name not in _GIVEN}


_GIVEN = ("stages", "history")
_BACK = {"when": HURTS, "tries": 1, "lr": 0.5}
_REACT = [
    {"when": OPENS, "lr": 0.5, "freeze": ["stem"], "times": 2},
    {"when": {"any": [{"kind": "plateau", "patience": 2}]}, "weight_decay": 2.0},
]
FOLDED = (
    adaptive(
        HEAD | {"epochs": 4, "until": SETTLED},
        FULL | {"name": "partial", "epochs": 4, "react": _REACT, "roll_back": _BACK},
        FULL | {"epochs": 5, "until": NEVER_BETTER, "react": _REACT, "roll_back": _BACK},
    ),
    adaptive(FULL | {"epochs": 8, "react": _REACT}),
)


@given(
    plan=st.sampled_from(FOLDED),
    values=st.lists(st.tuples(*[st.integers(0, 20)] * 3), max_size=20),
    asked=st.lists(st.integers(0, 20), max_size=8),
)
def test_the_kept_fold_is_the_fold_from_nothing(
    plan: Schedule, values: list[tuple[int, int, int]], asked: list[int]
) -> None:
    """Whatever was asked before, also of other histories that end with the same record."""
    names = ("val_accuracy", "train_accuracy", "val_loss")
    metrics = [dict(zip(names, (v / 20 for v in row), strict=True)) for row in values]
    seen = [replace(UNKNOWN, data="target", metrics=one) for one in metrics]
    whole = _until_over(plan, seen)
    for num in (*asked, *range(len(whole) + 1)):
        part = whole[:num]
        _until_over(plan, [*part[1:], *part[:1], *part[-1:]])
        straight = Course(plan.stages)
        for record in part:
            straight = straight.after(record)
        found = fold(plan.stages, part)
        assert _stands(found) == _stands(straight)
        assert all(a is b for a, b in zip(found.history, part, strict=True))


def test_a_step_leaves_the_course_before_as_it_was() -> None:
    plan = FOLDED[0]
    course = Course(plan.stages)
    for record in history(0.3, 0.5, 0.505, 0.6, 0.2, 0.1, 0.1, 0.1):
        before = dict(vars(course))
        after = course.after(record)
        assert vars(course) == before
        course = after


RESUMED = {
    "until": adaptive(HEAD | {"epochs": 4, "until": ALWAYS}, FULL | {"ema_decay": 0.9}),
    "roll_back": adaptive(
        HEAD,
        FULL | {"epochs": 3, "roll_back": {"when": NEVER_BETTER, "tries": 1, "lr": 0.3}},
        FULL | {"name": "last", "epochs": 1},
    ),
    "kept": adaptive(
        HEAD | {"epochs": 4, "until": ALWAYS}, FULL | {"epochs": 2, "keep_optimizer": True}
    ),
    "react": adaptive(
        FULL
        | {
            "epochs": 5,
            "react": [
                {"when": ALWAYS, "weight_decay": 100.0, "lr": 0.5},
                {"when": ALWAYS, "freeze": ["layer*"]},
            ],
        }
    ),
    "within": adaptive(
        HEAD,
        FULL
        | {
            "epochs": 3,
            "roll_back": {
                "when": NEVER_BETTER,
                "to": "full",
                "tries": 1,
                "lr": 0.3,
                "warmup": {"epochs": 1},
            },
        },
        FULL | {"name": "last", "epochs": 1},
    ),
    "longer": adaptive(
        FULL
        | {
            "epochs": 2,
            "curve": {"kind": "cosine"},
            "react": [{"when": ALWAYS, "longer": 2, "warmup": {"epochs": 1}}],
        }
    ),
}
LENGTHS = {"until": 4, "roll_back": 7, "kept": 4, "react": 5, "within": 6, "longer": 4}


@pytest.mark.parametrize("name", RESUMED)
def test_adaptive_runs_resume_exactly(name: str, tmp_path: Path) -> None:
    plan, store = RESUMED[name], Store(str(tmp_path / "straight"))
    visits = run(plan, store, TINY)
    keys = [visit.record.key for visit in visits]
    assert len(keys) == LENGTHS[name] and visits[-1].ended == "finished"
    assert any(visit.event for visit in visits)
    for border in range(len(keys)):
        fork = part_of(store, list(dict.fromkeys(keys[:border])), tmp_path / str(border))
        again = run(plan, fork, TINY)
        assert [visit.record.key for visit in again] == keys
        same([outcome(v.record) for v in visits], [outcome(v.record) for v in again])
        same({"end": state(store, keys[-1])}, {"end": state(fork, keys[-1])})


def test_a_reaction_changes_the_weights(tmp_path: Path) -> None:
    """The kept optimizer really gets the other weight decay, also where it was loaded."""
    store = Store(str(tmp_path))
    react = {"when": ALWAYS, "weight_decay": 1e4}
    plans = [adaptive(FULL | {"epochs": 3}), adaptive(FULL | {"epochs": 3, "react": [react]})]
    ends = [state(store, run(plan, store, TINY)[-1].record.key) for plan in plans]
    decays = [end["optimizer"]["param_groups"][0]["weight_decay"] for end in ends]
    assert decays == [pytest.approx(1e-4), pytest.approx(1.0)]
    name = "model.fc.weight"
    assert ends[1]["models"][name].norm() < ends[0]["models"][name].norm()


def test_the_way_to_a_key_leaves_out_what_was_tried_in_vain(tmp_path: Path) -> None:
    store, plan = Store(str(tmp_path)), RESUMED["roll_back"]
    visits = run(plan, store, TINY)
    path = path_to(visits[-1].record.key, plan, FACTS, store)
    assert path is not None
    assert [step.key for step in path] == [
        visits[place].record.key for place in plan.way([v.record for v in visits])
    ]
    again = trainer(TINY, Store(str(tmp_path / "new"))).train(path)
    assert outcome(again) == outcome(visits[-1].record)
