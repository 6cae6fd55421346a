"""Learning-rate curves as pure functions of the step.

A curve gives the factor by which the stage's learning rate is multiplied at each optimizer step.
Step 0 is the first step of the span, so that `factor(t)` equals what torch's scheduler of the same
name holds after `t` calls of `step()`.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from math import cos, pi, prod, sqrt
from typing import Annotated, Literal

from pydantic import Field

from training.config import Config

Fraction = Annotated[float, Field(ge=0, le=1)]


class _Curve(Config):
    @abstractmethod
    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return the multiple of the LR at `step` of a span of `num_steps`."""


class Constant(_Curve):
    """The LR stays as it is."""

    kind: Literal["constant"] = "constant"

    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return 1."""
        return 1.0


class Linear(_Curve):
    """A straight line from the LR to `floor` times the LR (torch `LinearLR`)."""

    kind: Literal["linear"] = "linear"
    floor: Fraction = 0.0
    """Where the curve ends, as a fraction of the LR."""

    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return `1 + (floor - 1) * step / num_steps`."""
        return 1 + (self.floor - 1) * step / num_steps


class Cosine(_Curve):
    """Half a cosine from the LR to the floor (torch `CosineAnnealingLR`, arXiv 1608.03983)."""

    kind: Literal["cosine"] = "cosine"
    floor: Fraction = 0.0
    """Where the curve ends, as a fraction of the LR."""

    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return `floor + (1 - floor) * (1 + cos(pi * step / num_steps)) / 2`."""
        return self.floor + (1 - self.floor) * (1 + cos(pi * step / num_steps)) / 2


class OneCycle(_Curve):
    """Up to the LR, then down to almost nothing (torch `OneCycleLR`, arXiv 1708.07120)."""

    kind: Literal["one_cycle"] = "one_cycle"
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the span in which the LR rises."""
    start_div: Annotated[float, Field(ge=1)] = 25.0
    """The span starts at LR / `start_div`."""
    end_div: Annotated[float, Field(ge=1)] = 1e4
    """The span ends at LR / `start_div` / `end_div`."""
    anneal: Literal["cos", "linear"] = "cos"
    """Shape of both sides."""

    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return torch's two-phase one-cycle factor; the last step of the span is the lowest."""
        start = 1 / self.start_div
        top = self.rise * num_steps - 1
        if step <= top:
            return self._between(start, 1.0, step / top if top else 1.0)
        return self._between(1.0, start / self.end_div, (step - top) / (num_steps - 1 - top))

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + cos(pi * share))


class Step(_Curve):
    """The LR is multiplied by `gamma` every `every_epochs` (torch `StepLR`)."""

    kind: Literal["step"] = "step"
    every_epochs: Annotated[int, Field(ge=1)]
    """Epochs between two drops."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor of each drop."""

    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return `gamma` to the power of the drops so far."""
        return float(self.gamma ** (step // (self.every_epochs * steps_per_epoch)))


class Poly(_Curve):
    """`(1 - t/T)^power` down to the floor (torch `PolynomialLR`; DeepLab's curve)."""

    kind: Literal["poly"] = "poly"
    power: Annotated[float, Field(gt=0)] = 0.9
    """Exponent; 1 is a straight line."""
    floor: Fraction = 0.0
    """Where the curve ends, as a fraction of the LR."""

    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return `floor + (1 - floor) * (1 - step / num_steps) ** power`."""
        return float(self.floor + (1 - self.floor) * (1 - step / num_steps) ** self.power)


class ConstantCooldown(_Curve):
    """Constant, then down to the floor in the last part (arXiv 2405.18392).

    Lengths share their trunk: only the cooldown depends on where the span ends.
    """

    kind: Literal["constant_cooldown"] = "constant_cooldown"
    cooldown: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the span that cools down."""
    shape: Literal["linear", "sqrt"] = "linear"
    """Straight line, or `1 - sqrt` of the share cooled."""
    floor: Fraction = 0.0
    """Where the cooldown ends, as a fraction of the LR."""

    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return 1 before the cooldown, then the chosen shape."""
        num_cooldown = max(1, round(self.cooldown * num_steps))
        share = max(0, step - (num_steps - num_cooldown)) / num_cooldown
        gone = sqrt(share) if self.shape == "sqrt" else share
        return 1 + (self.floor - 1) * gone


class Drop(Config):
    """One change of the LR in a piecewise-constant sequence."""

    at_epoch: Annotated[int, Field(ge=1)]
    """Epochs of the span before it."""
    factor: Annotated[float, Field(gt=0)]
    """By which the LR is multiplied from there on."""


class Piecewise(_Curve):
    """Constant between drops that each have their own moment and factor."""

    kind: Literal["piecewise"] = "piecewise"
    drops: tuple[Drop, ...] = ()
    """In any order; those past the end of the span never come."""

    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return the product of the drops so far."""
        return prod(drop.factor for drop in self.drops if step >= drop.at_epoch * steps_per_epoch)


class Part(_Curve):
    """A piece of a longer curve, wherever the span ends: how a run that was cut off goes on."""

    kind: Literal["part"] = "part"
    of: Annotated[
        Constant | Linear | Cosine | OneCycle | Step | Poly | ConstantCooldown | Piecewise,
        Field(discriminator="kind"),
    ]
    """The whole curve."""
    after_epochs: Annotated[float, Field(ge=0)]
    """Epochs of the whole curve that lie before the span."""
    of_epochs: Annotated[float, Field(gt=0)]
    """Length of the whole curve in epochs; past its end the LR stays where that is."""

    def factor(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return the whole curve's factor, as many steps later as lie before the span."""
        num_whole = max(1, round(self.of_epochs * steps_per_epoch))
        at = min(step + round(self.after_epochs * steps_per_epoch), num_whole - 1)
        return self.of.factor(at, num_whole, steps_per_epoch)


Curve = Annotated[
    Constant | Linear | Cosine | OneCycle | Step | Poly | ConstantCooldown | Piecewise | Part,
    Field(discriminator="kind"),
]


class WarmUp(Config):
    """A straight line up to the LR before any curve (torch `SequentialLR` after `LinearLR`)."""

    epochs: Annotated[float, Field(ge=0)] = 0.0
    """Length; the curve itself runs over what remains of the span."""
    start: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Where the line begins, as a fraction of the LR."""


@lru_cache(maxsize=4096)
def factors(
    curve: Curve, warmup: WarmUp, *, begin: int, end: int, num_steps: int, steps_per_epoch: int
) -> tuple[float, ...]:
    """Return the factors of steps `begin` to `end` (exclusive) of a span of `num_steps`."""
    num_warmup = min(round(warmup.epochs * steps_per_epoch), num_steps - 1)

    def at(step: int) -> float:
        if step < num_warmup:
            return warmup.start + (1 - warmup.start) * step / num_warmup
        return curve.factor(step - num_warmup, num_steps - num_warmup, steps_per_epoch)

    return tuple(at(step) for step in range(begin, end))
