"""What a worker keeps from one segment to the next."""

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.thaw.helpers import spec
from tests.trainables.helpers import facts
from trainables import worker
from trainables.mailbox import Job
from training.store import Store
from training.trainer import Trainer
from training.walk import foresee_steps


def test_the_models_of_one_seed_are_gone_before_those_of_the_next_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = list[Any]()
    alive = list[int]()

    class Noting(Trainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            alive.append(sum(model() is not None for model in models))
            super().__init__(*args, **kwargs)
            models.append(weakref.ref(self._live.models))

    monkeypatch.setattr(worker, "Trainer", Noting)
    trainers = worker.Trainers(Store(str(tmp_path)))
    for root in ("one", "one", "another"):
        known = replace(facts(), root=root)
        path = tuple(foresee_steps(spec(1e-3).schedule, known)[:1])
        trainers.of(Job(spec(1e-3), known, path)).train(path)
    assert alive == [0, 0], "number of earlier models that live when a trainer is made"
