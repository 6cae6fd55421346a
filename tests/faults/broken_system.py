"""A system that goes wrong on purpose: above some LR its loss raises, or is no number."""

import math
from pathlib import Path

from search_spaces.dimensions import Choice
from search_spaces.study import Study
from trainables.classifier import build as classification
from training.classification import ClassifierConfig
from training.schedule import Schedule, Stage

Settings = ClassifierConfig


def build(config):
    task = classification(config)
    loss = task.loss

    def breaking(forward, chosen, draws, settings):
        if settings.lrs[0] > 0.5:
            raise RuntimeError("no such gradient")
        value, totals = loss(forward, chosen, draws, settings)
        return value * (math.nan if settings.lrs[0] > 0.05 else 1.0), totals

    task.loss = breaking
    return task


def baseline(config, *, seed):
    return Schedule(seed=seed, stages=(Stage(name="all", epochs=1, lr=1e-3),))


LR = Choice(name="lr", values=(1e-3, 1e-1, 1.0), unit="LR")


def space(ask, config, seed):
    return Schedule(seed=seed, stages=(Stage(name="all", epochs=2, lr=ask(LR)),))


STUDY = Study(
    name="broken",
    question="What becomes of a trial that goes wrong?",
    system=str(Path(__file__)),
    dimensions=(LR,),
    space=space,
    points=({"lr": 1.0}, {"lr": 1e-1}, {"lr": 1e-3}),
    max_epochs=2,
    grace_epochs=1,
)
