"""A system whose training workers may write no more than a few bytes while a file is there.

The limit is the process's own (RLIMIT_FSIZE), which the kernel answers as it answers a full disk.
"""

import os
import resource
from pathlib import Path

from search_spaces.dimensions import Choice
from search_spaces.study import Study
from trainables.classifier import build as classification
from training.classification import ClassifierConfig
from training.schedule import Schedule, Stage

FLAG = "THAW_TEST_FULL"
_ROOM_BYTES = 100_000

Settings = ClassifierConfig


def build(config):
    task = classification(config)
    loss, (_, most) = task.loss, resource.getrlimit(resource.RLIMIT_FSIZE)

    def writing_little(forward, chosen, draws, settings):
        full = Path(os.environ[FLAG]).exists() and settings.index > 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM_BYTES if full else most, most))
        return loss(forward, chosen, draws, settings)

    task.loss = writing_little
    return task


def baseline(config, *, seed):
    return Schedule(seed=seed, stages=(Stage(name="all", epochs=1, lr=1e-3),))


LR = Choice(name="lr", values=(1e-3, 2e-3), unit="LR")


def space(ask, config, seed):
    return Schedule(seed=seed, stages=(Stage(name="all", epochs=2, lr=ask(LR)),))


STUDY = Study(
    name="full",
    question="What becomes of a search whose store is full?",
    system=str(Path(__file__)),
    dimensions=(LR,),
    space=space,
    points=({"lr": 1e-3}, {"lr": 2e-3}),
    max_epochs=2,
    grace_epochs=1,
)
