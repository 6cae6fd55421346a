"""Every curve against torch's own scheduler, or a hand-computed table, at every step."""

from collections.abc import Callable
from itertools import pairwise
from math import cos, pi, sqrt
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim import lr_scheduler as lrs

from tests.training.helpers import TinyTask, facts, schedule, stage
from training.curves import (
    Constant,
    ConstantCooldown,
    Cosine,
    Curve,
    Drop,
    Linear,
    OneCycle,
    Part,
    Piecewise,
    Poly,
    Step,
    WarmUp,
    factors,
)
from training.schedule import Schedule

Scheduler = Callable[[SGD], lrs.LRScheduler]
NO_WARMUP = WarmUp()
lengths = st.integers(1, 300)
floors = st.floats(0, 1)


def ours(curve: Curve, num: int, warmup: WarmUp = NO_WARMUP, per_epoch: int = 1) -> list[float]:
    return list(factors(curve, warmup, begin=0, end=num, num_steps=num, steps_per_epoch=per_epoch))


def torchs(make: Scheduler, num: int) -> list[float]:
    """Return the LR that torch's scheduler holds at each of `num` steps, from an LR of 1."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for _ in range(num):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


def close(one: list[float], other: list[float]) -> None:
    assert len(one) == len(other)
    gaps = [abs(a - b) for a, b in zip(one, other, strict=True)]
    worst = max(range(len(gaps)), key=gaps.__getitem__)
    assert gaps[worst] <= 1e-12, f"step {worst}: {one[worst]!r} against {other[worst]!r}"


@given(num=lengths)
def test_constant_is_torchs(num: int) -> None:
    close(ours(Constant(), num), torchs(lambda o: lrs.ConstantLR(o, 1.0), num))


@given(num=lengths, floor=floors)
def test_linear_is_torchs(num: int, floor: float) -> None:
    expected = torchs(
        lambda o: lrs.LinearLR(o, start_factor=1.0, end_factor=floor, total_iters=num), num
    )
    close(ours(Linear(floor=floor), num), expected)


@given(num=lengths, floor=floors)
def test_cosine_is_torchs(num: int, floor: float) -> None:
    expected = torchs(lambda o: lrs.CosineAnnealingLR(o, T_max=num, eta_min=floor), num)
    close(ours(Cosine(floor=floor), num), expected)


@given(
    num=st.integers(2, 300),
    rise=st.floats(0.05, 0.95),
    anneal=st.sampled_from(["cos", "linear"]),
    start_div=st.floats(1, 100),
    end_div=st.floats(1, 1e5),
)
def test_one_cycle_is_torchs(
    num: int, rise: float, anneal: str, start_div: float, end_div: float
) -> None:
    if abs(rise * num - 1) < 1e-9:  # torch divides by the length of the rise, which is 0 here
        rise /= 2

    def cycle(optimizer: SGD) -> lrs.LRScheduler:
        return lrs.OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=num + 1,  # torch refuses the step after the last one
            pct_start=rise * num / (num + 1),
            anneal_strategy=anneal,
            cycle_momentum=False,
            div_factor=start_div,
            final_div_factor=end_div,
        )

    curve = OneCycle.parse(
        {"rise": rise * num / (num + 1), "start_div": start_div, "end_div": end_div}
        | {"anneal": anneal}
    )
    close(ours(curve, num + 1)[:num], torchs(cycle, num))


def test_one_cycle_that_rises_in_no_step_starts_at_the_top() -> None:
    expected = [1.0, 0.75, 0.5, 0.25, 0.0]
    got = ours(OneCycle(rise=0.2, anneal="linear", end_div=1e15), 5)
    close(got, expected)


@given(num=lengths, every=st.integers(1, 5), per_epoch=st.integers(1, 20), gamma=st.floats(0.05, 1))
def test_step_is_torchs(num: int, every: int, per_epoch: int, gamma: float) -> None:
    expected = torchs(lambda o: lrs.StepLR(o, step_size=every * per_epoch, gamma=gamma), num)
    close(ours(Step(every_epochs=every, gamma=gamma), num, per_epoch=per_epoch), expected)


@given(
    num=lengths,
    at_epochs=st.sets(st.integers(1, 20), max_size=4),
    per_epoch=st.integers(1, 20),
    gamma=st.floats(0.05, 2),
)
def test_piecewise_with_equal_factors_is_torchs(
    num: int, at_epochs: set[int], per_epoch: int, gamma: float
) -> None:
    milestones = sorted(epoch * per_epoch for epoch in at_epochs)
    expected = torchs(lambda o: lrs.MultiStepLR(o, milestones, gamma=gamma), num)
    curve = Piecewise(drops=tuple(Drop(at_epoch=epoch, factor=gamma) for epoch in at_epochs))
    close(ours(curve, num, per_epoch=per_epoch), expected)


def test_piecewise_is_the_table() -> None:
    drops = (Drop(at_epoch=1, factor=0.5), Drop(at_epoch=3, factor=0.1), Drop(at_epoch=4, factor=3))
    table = [1, 1, 0.5, 0.5, 0.5, 0.5, 0.05, 0.05, 0.15]
    close(ours(Piecewise(drops=drops), 9, per_epoch=2), table)
    close(ours(Piecewise(drops=drops[::-1]), 9, per_epoch=2), table)
    close(ours(Piecewise(), 9), [1.0] * 9)


def test_piecewise_curves_share_all_before_the_drop_they_differ_in() -> None:
    first = Drop(at_epoch=2, factor=0.3)
    one, two = Piecewise(drops=(first,)), Piecewise(drops=(first, Drop(at_epoch=4, factor=0.1)))
    assert ours(one, 6)[:4] == ours(two, 6)[:4]
    assert ours(one, 6)[4] != ours(two, 6)[4]


@given(num=lengths, power=st.floats(0.5, 4), floor=floors)
def test_poly_is_torchs_above_the_floor(num: int, power: float, floor: float) -> None:
    above = torchs(lambda o: lrs.PolynomialLR(o, total_iters=num, power=power), num)
    close(ours(Poly(power=power, floor=floor), num), [floor + (1 - floor) * f for f in above])


def test_constant_cooldown_is_the_table() -> None:
    linear = [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    close(ours(ConstantCooldown(cooldown=0.4), 10), linear)
    root = [1, 1, 1, 1, 1, 1, 1, 1 - sqrt(0.25), 1 - sqrt(0.5), 1 - sqrt(0.75)]
    close(ours(ConstantCooldown(cooldown=0.4, shape="sqrt"), 10), root)
    close(ours(ConstantCooldown(cooldown=0.4, floor=0.5), 10), [(f + 1) / 2 for f in linear])


@given(num=lengths, cooldown=st.floats(0.01, 1), floor=floors)
def test_constant_cooldown_is_torchs_two_parts(num: int, cooldown: float, floor: float) -> None:
    num_cooldown = max(1, round(cooldown * num))

    def both(optimizer: SGD) -> lrs.LRScheduler:
        flat = lrs.ConstantLR(optimizer, 1.0)
        down = lrs.LinearLR(optimizer, 1.0, floor, total_iters=num_cooldown)
        return lrs.SequentialLR(optimizer, [flat, down], milestones=[num - num_cooldown])

    if num > num_cooldown:
        close(ours(ConstantCooldown(cooldown=cooldown, floor=floor), num), torchs(both, num))
    else:
        close(
            ours(ConstantCooldown(cooldown=cooldown, floor=floor), num),
            ours(Linear(floor=floor), num),
        )


@given(short=st.integers(10, 100), longer=st.integers(1, 100))
def test_constant_cooldowns_of_all_lengths_share_their_trunk(short: int, longer: int) -> None:
    one, other = (ours(ConstantCooldown(cooldown=0.2), num) for num in (short, short + longer))
    trunk = short - round(0.2 * short)
    assert one[: trunk + 1] == other[: trunk + 1]


CURVES: dict[str, tuple[Curve, Callable[[SGD, int], lrs.LRScheduler]]] = {
    "constant": (Constant(), lambda o, n: lrs.ConstantLR(o, 1.0)),
    "linear": (Linear(floor=0.1), lambda o, n: lrs.LinearLR(o, 1.0, 0.1, total_iters=n)),
    "cosine": (Cosine(floor=0.1), lambda o, n: lrs.CosineAnnealingLR(o, n, eta_min=0.1)),
    "step": (Step(every_epochs=2, gamma=0.3), lambda o, n: lrs.StepLR(o, 10, gamma=0.3)),
    "poly": (Poly(power=2.0), lambda o, n: lrs.PolynomialLR(o, n, power=2.0)),
}


@pytest.mark.parametrize("name", CURVES)
@given(num=st.integers(2, 200), num_warmup=st.integers(1, 40), start=st.floats(0.01, 1))
@example(num=10, num_warmup=9, start=0.01)
def test_warmup_is_torchs_sequence(name: str, num: int, num_warmup: int, start: float) -> None:
    num_warmup = min(num_warmup, num - 1)
    curve, make = CURVES[name]

    def sequence(optimizer: SGD) -> lrs.LRScheduler:
        rise = lrs.LinearLR(optimizer, start, 1.0, total_iters=num_warmup)
        rest = make(optimizer, num - num_warmup)
        return lrs.SequentialLR(optimizer, [rise, rest], milestones=[num_warmup])

    warmup = WarmUp(epochs=num_warmup / 5, start=start)
    close(ours(curve, num, warmup, per_epoch=5), torchs(sequence, num))


@pytest.mark.parametrize("curve", [OneCycle(), OneCycle(anneal="linear"), ConstantCooldown()])
@given(num=st.integers(2, 200), num_warmup=st.integers(1, 40))
def test_warmup_comes_before_the_curve(curve: Curve, num: int, num_warmup: int) -> None:
    num_warmup = min(num_warmup, num - 1)
    rise = [0.01 + 0.99 * step / num_warmup for step in range(num_warmup)]
    got = ours(curve, num, WarmUp(epochs=num_warmup), per_epoch=1)
    close(got, rise + ours(curve, num - num_warmup))


@given(num=st.integers(1, 50), cut=st.integers(0, 50))
def test_a_span_in_parts_is_the_span(num: int, cut: int) -> None:
    cut = min(cut, num)
    whole = ours(Cosine(), num, WarmUp(epochs=1), per_epoch=4)
    parts = [
        factors(Cosine(), WarmUp(epochs=1), begin=a, end=b, num_steps=num, steps_per_epoch=4)
        for a, b in pairwise((0, cut, num))
    ]
    assert [*parts[0], *parts[1]] == whole


def lrs_of(plan: Schedule) -> list[float]:
    """Return the LRs of all steps of `plan` for 48 examples of each data set."""
    known = facts(TASK)
    found: list[float] = []
    history = []
    while (settings := plan.next(history, known)) is not None:
        found += settings.lrs
        history.append(_NOTHING)
    return found


TASK = TinyTask()
_NOTHING: object = None


def test_one_curve_over_all_stages_continues_across_borders() -> None:
    plan = schedule(stage(lr=1.0), stage(lr=1.0, epochs=3), curve={"kind": "cosine"})
    close(lrs_of(plan), [(1 + cos(pi * t / 15)) / 2 for t in range(15)])


def test_a_curve_over_all_stages_leaves_out_the_stage_with_its_own() -> None:
    own = stage(lr=1.0, epochs=1, curve={"kind": "linear", "floor": 0.4})
    plan = schedule(stage(lr=1.0, epochs=1), own, stage(lr=1.0, epochs=1), curve={"kind": "linear"})
    close(lrs_of(plan), [1, 5 / 6, 4 / 6, 1, 0.8, 0.6, 3 / 6, 2 / 6, 1 / 6])


@pytest.mark.parametrize("curve", [{"kind": "cosine"}, {"kind": "step", "every_epochs": 1}])
def test_one_curve_over_stages_with_epochs_of_unequal_length(curve: dict[str, object]) -> None:
    """Six steps per epoch in the first stage and three in the second: still one curve."""
    stages = (stage(lr=1.0, batch_size=8), stage(lr=1.0, batch_size=16))
    plan = schedule(*stages, curve=curve, warmup={"epochs": 1})
    kind = Cosine() if curve["kind"] == "cosine" else Step(every_epochs=1)
    close(lrs_of(plan), ours(kind, 18, WarmUp(epochs=1), per_epoch=6))


WHOLE = [Cosine(floor=0.1), OneCycle(), Poly(), Step(every_epochs=2), Constant(), Linear()]


@pytest.mark.parametrize("whole", WHOLE, ids=lambda curve: curve.kind)
def test_parts_laid_end_to_end_are_the_whole_curve(whole: Any) -> None:
    parts = [
        factor
        for after, num in ((0, 2), (2, 3), (5, 1))
        for factor in ours(Part(of=whole, after_epochs=after, of_epochs=6), 3 * num, per_epoch=3)
    ]
    assert parts == ours(whole, 18, per_epoch=3)


def test_a_part_stays_where_the_whole_curve_ended() -> None:
    part = Part(of=Cosine(floor=0.1), after_epochs=4, of_epochs=6)
    assert ours(part, 15, per_epoch=3)[6:] == [ours(Cosine(floor=0.1), 18, per_epoch=3)[-1]] * 9
