"""Schedules as data: YAML, validation, keys, and `next` as a pure function."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.training.helpers import TinyTask, facts, schedule, stage
from training.errors import UserError
from training.optimizers import SGD
from training.schedule import Facts, Fork, Schedule
from training.settings import Place
from training.walk import UNKNOWN, foresee

FACTS = facts(TinyTask())
LAYERS = dict(FACTS.layers)["model"]

fractions = st.floats(0, 1)
positives = st.floats(1e-8, 1e3)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)


def kind(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(name)}, optional=fields)


curves = st.one_of(
    kind("constant"),
    kind("linear", floor=fractions),
    kind("cosine", floor=fractions),
    kind("one_cycle", rise=st.floats(0.01, 0.99), start_div=st.floats(1, 1e3)),
    kind("step", gamma=st.floats(0.01, 1)).map(lambda c: c | {"every_epochs": 2}),
    kind("poly", power=st.floats(0.1, 5), floor=fractions),
    kind(
        "constant_cooldown", cooldown=st.floats(0.01, 1), shape=st.sampled_from(["sqrt", "linear"])
    ),
)
optimizers = st.one_of(
    kind("adamw", weight_decay=fractions, beta1=st.floats(0, 0.99), eps=st.floats(1e-12, 1e-3)),
    kind("sgd", momentum=st.floats(0.01, 0.99), nesterov=st.booleans()),
)
multipliers = st.one_of(st.floats(1e-6, 1e2), st.just("frozen"))
groups = st.permutations(LAYERS).flatmap(
    lambda layers: st.fixed_dictionaries({}, optional=dict.fromkeys(layers, multipliers))
)
stages = st.fixed_dictionaries(
    {"name": texts, "epochs": st.integers(1, 3), "lr": positives},
    optional={
        "groups": groups.map(lambda table: {**table, "*": 1.0}),
        "data": st.sampled_from(["source", "target"]),
        "curve": curves,
        "warmup": st.fixed_dictionaries({"epochs": st.floats(0, 2), "start": st.floats(1e-3, 1)}),
        "optimizer": optimizers,
        "batch_size": st.sampled_from([8, 16]),
        "accumulate": st.sampled_from([1, 2, 4]),
        "clip_norm": st.one_of(st.none(), positives),
        "batchnorm": st.sampled_from(["train", "eval_frozen", "eval_all"]),
        "image_size": st.one_of(st.none(), st.integers(1, 512)),
        "data_fraction": st.floats(0.3, 1),
        "augment": st.fixed_dictionaries(
            {},
            optional={
                "shift": st.floats(0, 0.5),
                "flip": st.booleans(),
                "mixup": st.floats(0, 2),
                "cutmix": st.floats(0, 2),
            },
        ),
        "sampler": st.sampled_from(["shuffle", "balanced"]),
        "loss": st.fixed_dictionaries(
            {}, optional={"label_smoothing": fractions, "class_weight_power": fractions}
        ),
        "ema_decay": st.one_of(st.none(), st.floats(0.01, 0.999)),
    },
)
schedules = st.fixed_dictionaries(
    {"stages": st.lists(stages, min_size=1, max_size=3)},
    optional={
        "seed": st.integers(0, 2**40),
        "curve": curves,
        "warmup": st.fixed_dictionaries({"epochs": st.floats(0, 2)}),
        "compute": st.fixed_dictionaries(
            {},
            optional={
                "precision": st.sampled_from(["fp32", "bf16"]),
                "channels_last": st.booleans(),
            },
        ),
    },
).map(Schedule.parse)


@given(plan=schedules)
def test_yaml_round_trip_is_the_identity(plan: Schedule) -> None:
    assert Schedule.parse(yaml.safe_load(yaml.safe_dump(plan.plain()))) == plan


@given(plan=schedules)
def test_yaml_round_trip_keeps_the_order_of_groups(plan: Schedule) -> None:
    text = yaml.safe_dump(plan.plain(), sort_keys=False)
    again = Schedule.parse(yaml.safe_load(text))
    assert [list(s.groups) for s in again.stages] == [list(s.groups) for s in plan.stages]


@given(plan=schedules)
def test_yaml_round_trip_keeps_the_keys(plan: Schedule) -> None:
    again = Schedule.parse(yaml.safe_load(yaml.safe_dump(plan.plain(), sort_keys=False)))
    assert foresee(again, FACTS) == foresee(plan, FACTS)


@given(plan=schedules)
def test_next_is_pure(plan: Schedule) -> None:
    before = plan.plain()
    first = plan.next([], FACTS)
    assert plan.next([], FACTS) == first
    assert plan.plain() == before


def test_next_ends_after_the_last_epoch() -> None:
    plan = schedule(stage(epochs=1), stage(epochs=2))
    assert len(foresee(plan, FACTS)) == 3 == plan.num_epochs


BAD: list[tuple[dict[str, Any], str]] = [
    ({"lr": -1}, r"^x\.yaml: stages\.0\.lr: Input should be greater than 0, got -1$"),
    ({"lr": "fast"}, r"stages\.0\.lr: .*valid number.*got 'fast'$"),
    ({"lr": float("nan")}, r"stages\.0\.lr: .*finite number, got nan$"),
    ({"epochs": 0}, r"stages\.0\.epochs: .*greater than or equal to 1, got 0$"),
    ({"epochs": 1.5}, r"stages\.0\.epochs: .*integer.*got 1\.5$"),
    (
        {"epoch": 1},
        r"unknown field 'epoch' \(did you mean 'epochs'\?\); allowed: name, epochs, ",
    ),
    ({"batchnorm": "off"}, r"batchnorm: .*'train', 'eval_frozen' or 'eval_all', got 'off'$"),
    ({"curve": {"kind": "cos"}}, r"curve: .*'cos'.*'constant', 'linear', 'cosine', 'one_cycle'"),
    ({"curve": {"kind": "cosine", "floor": 2}}, r"curve\.cosine\.floor: .*equal to 1, got 2$"),
    (
        {"curve": {"kind": "cosine", "low": 0}},
        r"curve\.cosine: unknown field 'low'.*: kind, floor$",
    ),
    ({"groups": {"head": 0}}, r"groups\.head: .*greater than 0 or .*'frozen', got 0$"),
    ({"groups": {"head": "ice"}}, r"groups\.head: .*number.* or .*'frozen', got 'ice'$"),
    (
        {"groups": {"*": "frozen"}},
        r"stages\.0: groups: at least one layer group must be trainable$",
    ),
    ({"accumulate": 3}, r"stages\.0: batch_size must be a multiple of accumulate \(3\)$"),
    ({"optimizer": {"kind": "sgd", "momentum": 1}}, r"optimizer\.sgd\.momentum: .*than 1, got 1$"),
    ({"augment": {"shift": 0.6}}, r"augment\.shift: .*less than or equal to 0\.5, got 0\.6$"),
    ({"augment": {"mixup": -1}}, r"augment\.mixup: .*greater than or equal to 0, got -1$"),
    ({"sampler": "even"}, r"sampler: Input should be 'shuffle' or 'balanced', got 'even'$"),
    (
        {"optimizer": {"kind": "sgd", "momentum": 0, "nesterov": True}},
        r"optimizer\.sgd: nesterov: needs a momentum above 0$",
    ),
    ({"ema_decay": 1}, r"ema_decay: .*less than 1, got 1$"),
    ({"lr": 0, "epochs": 0}, r"stages\.0\.epochs: .* \(and 1 more\)$"),
]


@pytest.mark.parametrize(("fields", "message"), BAD, ids=lambda value: str(value)[:30])
def test_a_bad_field_is_named_with_its_value_and_what_is_allowed(
    fields: dict[str, Any], message: str
) -> None:
    good = {"name": "a", "epochs": 1, "lr": 0.1}
    with pytest.raises(UserError, match=message) as error:
        Schedule.parse({"stages": [good | fields]}, "x.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"^x\.yaml: Input should be a valid dictionary"),
        ([], r"^x\.yaml: Input should be a valid dictionary"),
        ({}, r"^x\.yaml: stages: required field is missing$"),
        ({"stages": []}, r"^x\.yaml: stages: .*at least 1 item"),
        ({"stages": [{}]}, r"^x\.yaml: stages\.0\.name: required field is missing \(and 2 more\)$"),
        (
            {"stage": []},
            r"^x\.yaml: unknown field 'stage' \(did you mean 'stages'\?\); allowed: seed",
        ),
    ],
)
def test_a_schedule_of_another_shape_is_refused(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Schedule.parse(data, "x.yaml")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "student"}, r"unknown model in stages\.0 \(s\): 'student'; allowed: model$"),
        ({"data": "sauce"}, r"'sauce' \(did you mean 'source'\?\); allowed: source, target$"),
        (
            {"loss": {"dice": 1}},
            r"unknown loss term .*'dice'; allowed: label_smoothing, class_weight_power$",
        ),
        ({"groups": {"layer5": 1, "*": 1}}, r"groups: 'layer5'.*allowed: stem, layer1"),
        ({"groups": {"head": 1}}, r"stages\.0 \(s\)\.groups: no row covers .*'stem'"),
        ({"keep_optimizer": True}, r"keep_optimizer: the last stage that trains the same model"),
        ({"data_fraction": 0.001}, r"data_fraction: 0\.001 of 'target' is 0 examples, fewer than"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_schedule_that_does_not_fit_the_task_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        schedule(stage(**fields)).check(FACTS)


@pytest.mark.parametrize(
    "fields", [{"data": "source"}, {"optimizer": {"kind": "sgd"}}], ids=["data", "optimizer"]
)
def test_an_optimizer_is_not_kept_for_something_else(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"stages\.1 \(s\)\.keep_optimizer"):
        schedule(stage(), stage(keep_optimizer=True, **fields)).check(FACTS)


def test_a_batch_must_divide_among_workers() -> None:
    known = Facts(**{**FACTS.__dict__, "place": Place(world_size=3)})
    with pytest.raises(UserError, match=r"batch_size: 16 is not a multiple of .* \(3\)"):
        schedule(stage()).check(known)


@given(trunk=stages, one=stages, other=stages)
def test_equal_beginnings_have_equal_keys(
    trunk: dict[str, Any], one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Stages with curves of their own: nothing that comes later reaches into them."""
    own = {"curve": {"kind": "constant"}}
    plans = [Schedule.parse({"stages": [own | trunk, own | end]}) for end in (one, other)]
    first, second = (foresee(plan, FACTS) for plan in plans)
    shared = trunk["epochs"]
    assert first[:shared] == second[:shared]


@given(trunk=stages, one=stages, other=stages)
def test_keys_are_equal_exactly_as_long_as_settings_are(
    trunk: dict[str, Any], one: dict[str, Any], other: dict[str, Any]
) -> None:
    plans = [Schedule.parse({"stages": [trunk, end]}) for end in (one, other)]
    (first, realised), (second, others) = ((foresee(p, FACTS), settings_of(p)) for p in plans)
    same = True
    for index in range(min(len(first), len(second))):
        same = same and realised[index] == others[index]
        assert (first[index] == second[index]) == same, f"segment {index}"


def settings_of(plan: Schedule) -> list[Any]:
    """Return the settings of all segments."""
    history: list[Any] = []
    while (settings := plan.next(history, FACTS)) is not None:
        history.append(settings)
    return history


def test_the_name_of_a_stage_and_of_a_curve_do_not_count() -> None:
    flat = {"kind": "linear", "floor": 1.0}
    one, other = schedule(stage()), schedule(stage(name="other", curve=flat))
    assert foresee(one, FACTS) == foresee(other, FACTS)


def test_a_multiplier_of_all_that_trains_is_a_learning_rate() -> None:
    half = stage(lr=2e-3, groups={"head": 0.5, "*": "frozen"})
    whole = stage(lr=1e-3, groups={"head": 1.0, "*": "frozen"})
    assert foresee(schedule(half), FACTS) == foresee(schedule(whole), FACTS)


def test_the_root_counts() -> None:
    plan = schedule(stage())
    keys = {foresee(plan, facts(task, seed)) for task, seed in ROOTS}
    assert len(keys) == len(ROOTS)


ROOTS = [(TinyTask(), 0), (TinyTask(), 1), (TinyTask(drop_rate=0.1), 0), (TinyTask(num=40), 0)]


def test_the_place_counts() -> None:
    places = [Place(), Place(num_threads=2), Place(world_size=2)]
    plan = schedule(stage())
    assert len({foresee(plan, facts(TinyTask(), place=place)) for place in places}) == 3


HEAD = stage(name="head", epochs=2, groups={"head": 1.0, "*": "frozen"})


def forked(at: int, **fields: Any) -> tuple[Schedule, Schedule, Schedule]:
    """Return a schedule, another one, and the second as it goes on from the first."""
    first = schedule(HEAD, stage(name="full", epochs=3, lr=0.1))
    second = schedule(HEAD, stage(**{"name": "full", "epochs": 3, "lr": 0.2, **fields}))
    fork = second.model_copy(update={"fork": Fork(at=at, schedule=first)})
    return first, second, fork


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_fork_begins_as_the_one_schedule_and_ends_as_the_other(at: int) -> None:
    first, second, fork = forked(at)
    keys = foresee(fork, FACTS)
    assert keys[:at] == foresee(first, FACTS)[:at] and len(keys) == 5
    history = [UNKNOWN] * 4
    assert fork.next(history, FACTS) == second.next(history, FACTS)
    assert keys[4] not in (foresee(first, FACTS)[4], foresee(second, FACTS)[4]) or at <= 2


def test_a_fork_of_a_fork_begins_as_that_one_did() -> None:
    _, second, fork = forked(3)
    again = second.model_copy(update={"fork": Fork(at=4, schedule=fork)})
    assert foresee(again, FACTS)[:4] == foresee(fork, FACTS)[:4]
    assert [again.stage_at([], index).lr for index in (2, 3)] == [0.1, 0.2]


def test_a_fork_starts_a_new_optimizer_where_the_old_one_does_not_fit() -> None:
    _, _, same = forked(3)
    _, _, other = forked(3, optimizer=SGD())
    fresh = [fork.next([UNKNOWN] * 3, FACTS) for fork in (same, other)]
    assert [settings and settings.fresh_optimizer for settings in fresh] == [False, True]


def test_a_fork_survives_yaml() -> None:
    _, _, fork = forked(3)
    assert Schedule.parse(yaml.safe_load(yaml.safe_dump(fork.plain())), "x") == fork
