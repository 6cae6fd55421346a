"""How long is a run worth training, with its schedule tuned anew for each length?

Lengths are multiples of the base length and count from the starting weights: from a base
checkpoint a length of 3 is 240k iterations more. With constant + cooldown all lengths share one
trunk, of which the cooldowns fork off; cosine and poly hang on the length from their first step and
share nothing.
Trials are compared at equal iterations (segments have equal ones), from one base length on.
"""

from __future__ import annotations

from search_spaces.dimensions import Ask, Choice
from search_spaces.study import Study
from trainables.streets import COOLDOWN, COSINE, POLY, Settings, hours_per_segment, schedule
from training.schedule import Schedule

LR = Choice(
    name="lr_factor",
    values=(1.0, 0.5, 2.0),
    unit="x LR",
    help="on the learning rate of the network's recipe",
)
WARMUP = Choice(
    name="warmup",
    values=(0.0, 0.125),
    unit="x base length",
    help="straight line up to the LR",
)
CURVE = Choice(
    name="lr_curve",
    values=(COOLDOWN, COSINE, POLY),
    unit="curve",
    help="of the LR after the warm-up; of these only constant_cooldown shares between lengths",
)
LENGTH = Choice(
    name="length",
    values=(1, 2, 3, 4),
    unit="x base length",
    help="iterations from the starting weights on",
)


def space(ask: Ask, config: Settings, seed: int) -> Schedule:
    """Return one stage of the asked length and curve."""
    lr, warmup, curve = ask(LR), ask(WARMUP), ask(CURVE)
    return schedule(config, seed=seed, length=ask(LENGTH), curve=curve, lr=lr, warmup=warmup)


def lengths(config: Settings) -> tuple[int, int]:
    """Return the segments of the longest trial, and those of the base length."""
    return max(LENGTH.values) * config.base_segments, config.base_segments


_DEFAULT = lengths(Settings())
STUDY = Study(
    name="training_length",
    question="How long is a run worth training, with its schedule tuned for each length?",
    system="streets",
    dimensions=(LR, WARMUP, CURVE, LENGTH),
    space=space,
    points=tuple(
        {"lr_factor": 1.0, "warmup": 0.0, "lr_curve": COOLDOWN, "length": length}
        for length in LENGTH.values
    ),
    metric="val_miou",
    max_epochs=_DEFAULT[0],
    grace_epochs=_DEFAULT[1],
    lengths=lengths,
    rung_by="epochs",
    hours_per_epoch=hours_per_segment,
)
