"""No segment is trained twice: over random schedules, slots, orders, stops and failures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from benchmarks._loop import Broken, Loop, Shelf, Trial, Workshop
from search_spaces.study import Study
from tests.thaw.helpers import FACTS, HEAD_ONLY
from thaw.scheduling import Pauses, make_scheduler
from thaw.searcher import ScheduleSearcher
from thaw.trials import FixedList, Proposal
from trainables.slot import TRIAL, Assignment, results
from trainables.spec import TrialSpec
from training.actions import Reaction
from training.keys import Step
from training.record import Record
from training.rules import Rule
from training.schedule import Schedule, Stage
from training.settings import Settings
from training.walk import foresee, walk

STUDY = Study(
    name="any",
    question="",
    system="classifier",
    dimensions=(),
    space=lambda ask, config, seed: Schedule(stages=()),
    max_epochs=9,
    grace_epochs=1,
)

stages = st.builds(
    Stage,
    name=st.just("stage"),
    epochs=st.integers(1, 3),
    lr=st.sampled_from((1e-2, 1e-3)),
    groups=st.sampled_from(({"*": 1.0}, HEAD_ONLY)),
)
CALM = Rule.parse({"any": [{"kind": "accuracy_settled", "points": 30.0}]})
adaptive = st.builds(
    Stage,
    name=st.just("stage"),
    epochs=st.integers(3, 5),
    lr=st.just(1e-2),
    groups=st.sampled_from(({"*": 1.0}, HEAD_ONLY)),
    until=st.sampled_from((None, CALM, CALM.model_copy(update={"after": 2}))),
    react=st.sampled_from(((), (Reaction(when=CALM, lr=0.1),))),
)
schedules = st.builds(
    Schedule, stages=st.lists(stages | adaptive, min_size=1, max_size=3).map(tuple)
)


class Training(Callback):
    """Makes records up; breaks now and then; knows what is being trained right now."""

    def __init__(self, chance: Random, breaks: float) -> None:
        self._chance = chance
        self._breaks = breaks
        self.in_flight: list[str] = []
        self.clashes: list[str] = []
        """Keys that a slot began to train while another did."""
        self.visited: set[str] = set()
        self.known: Callable[[str], Record | None] = lambda key: None

    def __call__(self, path: Sequence[Step]) -> Record:
        key = path[-1].key
        if key in self.in_flight:
            self.clashes.append(key)
        self.in_flight.append(key)
        if self._chance.random() < self._breaks:
            raise Broken
        parent = path[-2].key if len(path) > 1 else FACTS.root
        return record(key, parent, path[-1].settings)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
    ) -> None:
        if not result["reused"]:
            self.in_flight.remove(result["key"])
        self.visited.add(result["key"])

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        done = trial.last_result.get("segment", 0)
        schedule = trial.config[TRIAL].spec.schedule
        self.in_flight.remove(foresee(schedule, FACTS, self.known)[done])


def record(key: str, parent: str, made_by: Settings) -> Record:
    """Return what the key alone decides."""
    return Record(
        key=key,
        parent=parent,
        index=made_by.index,
        data="target",
        metrics={
            "train_loss": math.nan if diverges(key) else 1.0,
            "val_accuracy": Random(key).random(),
        },
        num_steps=made_by.num_steps,
        lr_first=made_by.lrs[0],
        lr_last=made_by.lrs[-1],
        world_size=1,
        train_s=1.0,
        eval_s=0.0,
        restore_s=0.0,
    )


def diverges(key: str) -> bool:
    return Random(f"loss of {key}").random() < 0.02


class RandomStops(FIFOScheduler):
    """Stops a trial now and then."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._chance = chance

    def on_trial_result(self, controller: Any, trial: Any, result: Any) -> str:
        return TrialScheduler.STOP if self._chance.random() < 0.1 else TrialScheduler.CONTINUE


class Greedy(ScheduleSearcher):
    """Holds nothing back."""

    def _free(self, proposal: Proposal) -> bool:
        return True


def proposals(found: Sequence[Schedule]) -> list[Proposal]:
    return [
        Proposal(
            values={},
            assignment=Assignment(
                f"{number:04}", TrialSpec(system="classifier", schedule=schedule), FACTS
            ),
            keys=foresee(schedule, FACTS),
        )
        for number, schedule in enumerate(found)
    ]


def search(
    found: Sequence[Schedule],
    *,
    num_slots: int,
    seed: int = 0,
    breaks: float = 0.0,
    scheduler: TrialScheduler | None = None,
    searcher: type[ScheduleSearcher] = ScheduleSearcher,
) -> tuple[list[str], Training]:
    """Run all of `found`; return the keys that were trained, in their order, and more of them."""
    chance = Random(seed)
    training = Training(chance, breaks)
    shop = Workshop(Shelf(), training)
    training.known = shop.store.record
    scheduler = scheduler or FIFOScheduler()

    def begin(trial: Trial) -> Iterator[dict[str, Any]]:
        mine: Assignment = trial.config[TRIAL]
        return results(mine, walk(mine.spec.schedule, FACTS, shop.store, shop.train))

    loop = Loop(
        searcher(
            FixedList(proposals(found)),
            store=shop.store,
            metric="val_accuracy",
            mode="max",
            num_slots=num_slots,
            pausing=scheduler.pausing if isinstance(scheduler, Pauses) else None,
        ),
        scheduler,
        begin,
        num_slots=num_slots,
        publish=shop.publish,
        callbacks=[training],
        takes=lambda: chance.uniform(0.1, 2.0),
    )
    loop.run()
    return loop.trained, training


def scheduler_of(name: str, seed: int) -> TrialScheduler:
    if name == "random stops":
        return RandomStops(Random(seed))
    made = make_scheduler(STUDY, name, "epochs")
    made.set_search_properties("val_accuracy", "max")
    return made


TWIN = Schedule(stages=(Stage(name="stage", epochs=2, lr=1e-2),))


@settings(max_examples=150)
@example([TWIN] * 6, 2, "asha-promote", 0.0, 0)
@given(
    found=st.lists(schedules, min_size=1, max_size=12),
    num_slots=st.sampled_from((1, 2, 4)),
    scheduler=st.sampled_from(("none", "random stops", "asha", "asha-promote")),
    breaks=st.sampled_from((0.0, 0.1)),
    seed=st.integers(0, 2**32),
)
def test_as_many_segments_are_trained_as_there_are_different_ones(
    found: list[Schedule], num_slots: int, scheduler: str, breaks: float, seed: int
) -> None:
    trained, training = search(
        found,
        num_slots=num_slots,
        seed=seed,
        breaks=breaks,
        scheduler=scheduler_of(scheduler, seed),
    )
    assert not training.clashes, f"two slots trained {training.clashes} at the same time"
    assert len(trained) == len(training.visited), (
        f"{len(trained)} segments trained, {len(training.visited)} different ones visited"
    )
    assert set(trained) == training.visited


@settings(max_examples=50)
@given(found=st.lists(schedules, min_size=1, max_size=12), num_slots=st.sampled_from((1, 2, 4)))
def test_without_stops_and_failures_it_is_the_bound_of_the_list(
    found: list[Schedule], num_slots: int
) -> None:
    trained, _ = search(found, num_slots=num_slots)
    alone = Training(Random(0), 0.0)
    walked = {
        visit.record.key for schedule in found for visit in walk(schedule, FACTS, Shelf(), alone)
    }
    assert sorted(trained) == sorted(walked)


def test_a_searcher_that_holds_nothing_back_trains_segments_twice() -> None:
    careful, _ = search([TWIN, TWIN], num_slots=2)
    greedy, training = search([TWIN, TWIN], num_slots=2, searcher=Greedy)
    assert len(careful) == 2
    assert len(greedy) > len(training.visited) == 2, f"{len(greedy)} segments trained"
    assert training.clashes, "nobody trained one segment at the same time as another"
