"""What every recipe promises: it trains, and it resumes at every border to the same bits."""

from itertools import islice
from pathlib import Path

import pytest

from tests.conformance.helpers import task_of
from tests.training.helpers import outcome, part_of, same, state
from trainables.recipes import RECIPES, recipe_schedule
from training.classification import ClassifierConfig
from training.schedule import Facts, Schedule
from training.settings import Place
from training.store import Store
from training.task import facts_of
from training.trainer import Trainer
from training.walk import foresee, walk

SEED = 1


def short(name: str) -> Schedule:
    """An epoch of a few steps for each stage of a recipe."""
    made = recipe_schedule(name, ClassifierConfig(), seed=SEED)
    change = {"epochs": 1, "data_fraction": 0.3, "batch_size": 16, "until": None}
    stages = tuple(stage.model_copy(update=change) for stage in made.stages)
    return made.model_copy(update={"stages": stages})


def facts() -> Facts:
    return facts_of(task_of("classifier"), seed=SEED, place=Place())


def trainer(store: Store) -> Trainer:
    known = facts()
    return Trainer(
        task_of("classifier"), root=known.root, seed=SEED, store=store, place=known.place
    )


@pytest.mark.parametrize("name", RECIPES)
def test_it_trains_and_resumes_at_every_border_to_the_same_bits(name: str, tmp_path: Path) -> None:
    schedule, store = short(name), Store(str(tmp_path / "straight"))
    visits = list(walk(schedule, facts(), store, trainer(store).train))
    keys = foresee(schedule, facts())
    assert [visit.ended for visit in visits] == [None] * (len(keys) - 1) + ["finished"]
    for border in range(1, len(keys)):
        part = part_of(store, keys[:border], tmp_path / f"until{border}")
        resumed = list(islice(walk(schedule, facts(), part, trainer(part).train), border + 1))
        assert [visit.reused for visit in resumed] == [True] * border + [False]
        assert outcome(resumed[-1].record) == outcome(visits[border].record)
        same(state(part, keys[border]), state(store, keys[border]))
