"""Gates of cyclic training: whether another cycle pays, as pure functions of what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from training.config import Config
from training.errors import unknown

Action = Literal["go_on", "stop", "retrain"]
Percent = Annotated[float, Field(ge=0, le=1000)]
_METRICS = ("val_accuracy", "val_psnr", "val_identity")
_DIGITS = 9
"""Differences are rounded to so many digits: 44.9 % after 34.9 % is 10 points, not more."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Both models together, before the first cycle or after one."""

    accuracy: float
    """Identification rate in [0, 1]."""
    psnr_db: float
    identity: float
    """Identity loss: 1 minus the cosine of embeddings."""

    @classmethod
    def of(cls, metrics: Mapping[str, float]) -> Measured:
        """Take the metrics of a record; raise `UserError` where one is missing."""
        for name in _METRICS:
            if name not in metrics:
                raise unknown("metric of a cycle:", name, metrics)
        accuracy, psnr_db, identity = (metrics[name] for name in _METRICS)
        return cls(accuracy=accuracy, psnr_db=psnr_db, identity=identity)


@dataclass(frozen=True)
class Verdict:
    """What follows a cycle."""

    action: Action
    rule: str
    """Which rule decided."""
    reason: str
    """With the figures, in words."""


class Gates(Config):
    """Thresholds; gains and falls of accuracy are in points or relative, in per cent."""

    measure: Literal["points", "relative"] = "points"
    """Whether 35 % to 42 % is a gain of 7 (points) or of 20 (relative)."""
    go_on_above: Percent = 10.0
    """A second cycle only follows a first one that gained more than this."""
    stop_below: Percent = 2.0
    """A cycle that gained less than this is the last."""
    max_cycles: Annotated[int, Field(ge=1, le=100)] = 2
    """Cycles after which it ends in any case."""
    psnr_drop_db: Annotated[float, Field(ge=0)] = 1.0
    """It ends where a cycle lowered the PSNR by more than this."""
    identity_floor: Annotated[float, Field(ge=0, le=2)] = 0.05
    """It ends where the identity loss fell below this: DSR overfits to the recogniser."""
    catastrophic_above: Percent = 5.0
    """Where a cycle lowered the accuracy by more than this, DSR is trained from scratch."""

    def gain(self, before: float, after: float) -> float:
        """Return the gain of accuracy in per cent, as `measure` says; infinite from nothing."""
        if self.measure == "points":
            return round((after - before) * 100, _DIGITS)
        if before == 0:
            return math.inf if after > 0 else 0.0
        return round((after - before) / before * 100, _DIGITS)


def judge(measured: Sequence[Measured], gates: Gates) -> Verdict:
    """Say what follows the last of `measured`; the first was before any cycle.

    Rules in their order: catastrophic drop, PSNR, identity loss, number of cycles, least gain, and
    after the first cycle the gain that a second one asks for.
    """
    num_cycles = len(measured) - 1
    if num_cycles < 1:
        return Verdict("go_on", "first_cycle", "no cycle yet")
    before, after = measured[-2:]
    gain = gates.gain(before.accuracy, after.accuracy)
    fall_db = round(before.psnr_db - after.psnr_db, _DIGITS)
    if any(math.isnan(value) for value in (gain, fall_db, after.identity)):
        return Verdict("stop", "unknown", f"cycle {num_cycles} was not measured (NaN)")
    unit = " points" if gates.measure == "points" else " % (relative)"
    moved = f"cycle {num_cycles} {'gained' if gain >= 0 else 'lost'} {abs(gain):.4g}{unit}"
    if -gain > gates.catastrophic_above:
        limit = f"more than {gates.catastrophic_above:g}: catastrophic"
        why = f"{moved}, {limit}; train DSR from scratch, with a lower LR or identity weight"
        return Verdict("retrain", "catastrophic", why)
    if fall_db > gates.psnr_drop_db:
        why = f"PSNR fell by {fall_db:.4g} dB, more than {gates.psnr_drop_db:g}"
        return Verdict("stop", "psnr_fell", why)
    if round(after.identity, _DIGITS) < gates.identity_floor:
        why = f"identity loss {after.identity:.4g} is below {gates.identity_floor:g}: overfitting"
        return Verdict("stop", "identity_floor", why)
    if num_cycles >= gates.max_cycles:
        return Verdict("stop", "max_cycles", f"{num_cycles} of at most {gates.max_cycles} cycles")
    if gain < gates.stop_below:
        return Verdict("stop", "least_gain", f"{moved}, less than {gates.stop_below:g}")
    if num_cycles == 1 and gain <= gates.go_on_above:
        return Verdict("stop", "second_cycle", f"{moved}, not more than {gates.go_on_above:g}")
    return Verdict("go_on", "gained", f"{moved}, enough for another")


class Gate(Config):
    """A stage is only trained where the cycles so far ask for it."""

    after: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of earlier stages: what was measured at the end of each is judged; the first is the
    baseline, each other one ends a cycle."""
    says: Action = "go_on"
    """The verdict at which the stage is trained; at any other it is left out."""
    back_to: str | None = None
    """One of `after`: this stage goes on from its end, without what came after it, so that it is a
    fork; default: it goes on from what was trained last."""
    gates: Gates = Gates()

    def decide(self, metrics: Sequence[Mapping[str, float]]) -> Verdict | None:
        """Judge the metrics at the end of each stage of `after`; None where one has none."""
        if not all(metrics):
            return None
        return judge([Measured.of(found) for found in metrics], self.gates)
