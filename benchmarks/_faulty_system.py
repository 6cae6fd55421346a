"""The embedded digits with a task that can be told to hang or to take its time.

It looks into the folder that the environment variable `THAW_FAULTS` names, and writes down of each
segment that came to its end when its evaluation began, in seconds since 1970.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from search_spaces.dimensions import Ask, Choice, Real
from search_spaces.study import Study
from trainables.classifier import HEAD_ONLY, pretraining
from trainables.classifier import build as classification
from training.classification import Classification, ClassifierConfig
from training.schedule import Schedule, Stage
from training.settings import Settings as SegmentSettings
from training.task import Totals

Settings = ClassifierConfig
HANG, PACE, ENDED = "hang", "pace", "ended.txt"
_HUNG_S = 3600.0


class Faulty(Classification):
    """The classifier, with faults."""

    def evaluate(
        self, models: Mapping[str, nn.Module], settings: SegmentSettings, rank: int
    ) -> Totals:
        """Evaluate, after what the folder says."""
        folder, began_s = Path(os.environ["THAW_FAULTS"]), time.time()
        with contextlib.suppress(OSError):
            (folder / HANG).unlink()  # whoever takes it hangs
            time.sleep(_HUNG_S)
        with contextlib.suppress(OSError, ValueError):
            time.sleep(float((folder / PACE).read_text()))
        totals = super().evaluate(models, settings, rank)
        if rank == 0:
            with (folder / ENDED).open("a", encoding="utf-8") as file:
                file.write(f"{began_s}\n")
        return totals


def build(config: ClassifierConfig) -> Classification:
    """Return the task."""
    assert classification is Classification
    return Faulty(config)


_HEAD = Choice(name="head_lr", values=(2e-3, 5e-3), unit="LR")
_LR = Real(name="lr", low=1e-4, high=1e-2, log=True, unit="LR")


def baseline(config: ClassifierConfig, *, seed: int) -> Schedule:
    """Return the first schedule that comes to mind."""
    return _schedule(config, 5e-3, 1e-3, seed)


def _schedule(config: ClassifierConfig, head_lr: float, lr: float, seed: int) -> Schedule:
    stages = (
        *pretraining(config, epochs=2),
        Stage(name="head", epochs=2, lr=head_lr, groups=HEAD_ONLY),
        Stage(name="full", epochs=6, lr=lr),
    )
    return Schedule(seed=seed, stages=stages)


def _space(ask: Ask, config: Any, seed: int) -> Schedule:
    return _schedule(config, ask(_HEAD), ask(_LR), seed)


STUDY = Study(
    name="faulty",
    question="What becomes of a search while things go wrong?",
    system=str(Path(__file__)),
    dimensions=(_HEAD, _LR),
    space=_space,
    max_epochs=8,
    grace_epochs=2,
)
