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
from torch import nn

from benchmarks._loop import Broken, Loop, Shelf, Trial, Workshop
from search_spaces.study import Study
from tests.thaw.helpers import FACTS, HEAD_ONLY
from thaw.fusing import Fusing
from thaw.scheduling import Pauses, make_scheduler
from thaw.searcher import ScheduleSearcher
from thaw.trials import FixedList, Proposal
from trainables.fellows import Fellows
from trainables.slot import TRIAL, Assignment, results
from trainables.spec import TrialSpec
from training.actions import Reaction
from training.classification import Classification, ClassifierConfig
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
        made = self.make(path)
        if self._chance.random() < self._breaks:
            raise Broken
        return made

    def make(self, path: Sequence[Step]) -> Record:
        key = path[-1].key
        if key in self.in_flight:
            self.clashes.append(key)
        self.in_flight.append(key)
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


class Heads(Fusing):
    """Fuses what trains the head alone; which model it is of does not matter here."""

    def __init__(self, num_trials: int) -> None:
        super().__init__(num_trials, Classification(ClassifierConfig()), nn.ModuleDict())

    def _fits(self, settings: Settings) -> bool:
        return [value is None for _, value in settings.multipliers] == [True, False]


class Beside:
    """What slots train for the fellows of their trials, and when it is in the store."""

    def __init__(self, shop: Workshop, training: Training, chance: Random) -> None:
        self._shop = shop
        self._training = training
        self._chance = chance
        self._others: dict[str, list[Record]] = {}
        """Key of a leader's segment -> what is trained beside it."""
        self.trained: list[str] = []
        self.given: list[str] = []
        """What the searcher says was."""

    def slot(self, trial: Assignment) -> Callable[[Sequence[Step]], Record]:
        """Return what trains the segments of one trial."""
        fellows, begun = Fellows(trial.fellows, FACTS, self._shop.store), list[int]()

        def train(path: Sequence[Step]) -> Record:
            for number in begun[-1:]:
                fellows.let_go(number)
            begun.append(len(path) - 1)
            leading = self._shop.train(path)
            if self._chance.random() < 0.9:  # else they do not fit into memory with it
                ways = fellows.ways(begun[-1])
                self._others[leading.key] = [self._training.make(way) for way in ways]
            return leading

        return train

    def publish(self, key: str) -> None:
        """Put a leader's segment into the store, and those beside it."""
        self._shop.publish(key)
        for other in self._others.pop(key, ()):
            self._shop.store.publish(other, {})
            self._training.in_flight.remove(other.key)
            self.trained.append(other.key)

    def give(self, name: str, key: str) -> None:
        """Take in what the searcher says."""
        self.given.append(key)


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
    fuse: int = 1,
) -> tuple[list[str], Training, Beside]:
    """Run all of `found`; return the keys that were trained, in their order, and more of them."""
    chance = Random(seed)
    training = Training(chance, breaks)
    shop = Workshop(Shelf(), training)
    training.known = shop.store.record
    beside = Beside(shop, training, chance)
    scheduler = scheduler or FIFOScheduler()

    def begin(trial: Trial) -> Iterator[dict[str, Any]]:
        mine: Assignment = trial.config[TRIAL]
        return results(mine, walk(mine.spec.schedule, FACTS, shop.store, beside.slot(mine)))

    loop = Loop(
        searcher(
            FixedList(proposals(found)),
            store=shop.store,
            metric="val_accuracy",
            mode="max",
            num_slots=num_slots,
            pausing=scheduler.pausing if isinstance(scheduler, Pauses) else None,
            fusing=Heads(fuse) if fuse > 1 else None,
            trained=beside.give,
        ),
        scheduler,
        begin,
        num_slots=num_slots,
        publish=beside.publish,
        callbacks=[training],
        takes=lambda: chance.uniform(0.1, 2.0),
    )
    loop.run()
    return loop.trained, training, beside


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
    trained, training, _ = search(
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


heads = st.builds(
    Stage,
    name=st.just("head"),
    epochs=st.integers(1, 3),
    lr=st.sampled_from((1e-1, 1e-2, 1e-3)),
    groups=st.just(HEAD_ONLY),
)
staged = st.builds(
    lambda before, head, then: Schedule(stages=(*before, head, *then)),
    st.lists(stages, max_size=1),
    heads,
    st.lists(stages, max_size=2),
)


@settings(max_examples=150)
@given(
    found=st.lists(staged | schedules, min_size=2, max_size=12),
    num_slots=st.sampled_from((1, 2, 4)),
    fuse=st.sampled_from((2, 3, 8)),
    scheduler=st.sampled_from(("none", "random stops", "asha", "asha-promote")),
    breaks=st.sampled_from((0.0, 0.1)),
    seed=st.integers(0, 2**32),
)
def test_no_segment_is_trained_twice_where_trials_share_passes(
    found: list[Schedule], num_slots: int, fuse: int, scheduler: str, breaks: float, seed: int
) -> None:
    leading, training, beside = search(
        found,
        num_slots=num_slots,
        seed=seed,
        breaks=breaks,
        scheduler=scheduler_of(scheduler, seed),
        fuse=fuse,
    )
    trained = [*leading, *beside.trained]
    assert not training.clashes, f"two slots trained {training.clashes} at the same time"
    assert len(trained) == len(set(trained)), "a segment was trained twice"
    assert training.visited <= set(trained)
    assert sorted(beside.given) == sorted(beside.trained)
    if scheduler == "none" and not breaks:
        assert training.visited == set(trained), "something was trained in vain"


def test_heads_of_different_rates_share_each_pass() -> None:
    found = [
        Schedule(stages=(Stage(name="head", epochs=3, lr=lr, groups=HEAD_ONLY), TWIN.stages[0]))
        for lr in (1e-1, 1e-2, 1e-3, 1e-4)
    ]
    leading, _, beside = search(found, num_slots=1, seed=3, fuse=4)
    assert len(beside.trained) == 9, "three epochs of three other heads"
    assert len(leading) == 3 + 4 * 2


def test_who_waits_for_what_all_have_in_common_is_beside_from_there_on() -> None:
    found = [
        Schedule(stages=(TWIN.stages[0], Stage(name="head", epochs=3, lr=lr, groups=HEAD_ONLY)))
        for lr in (1e-1, 1e-2, 1e-3, 1e-4)
    ]
    leading, training, beside = search(found, num_slots=2, seed=1, fuse=4)  # all passes fit
    assert len(leading) == 2 + 3, "two epochs of all, three of the first head"
    assert {*leading, *beside.trained} == training.visited


@settings(max_examples=50)
@given(found=st.lists(schedules, min_size=1, max_size=12), num_slots=st.sampled_from((1, 2, 4)))
def test_without_stops_and_failures_it_is_the_bound_of_the_list(
    found: list[Schedule], num_slots: int
) -> None:
    trained, _, _ = search(found, num_slots=num_slots)
    alone = Training(Random(0), 0.0)
    walked = {
        visit.record.key for schedule in found for visit in walk(schedule, FACTS, Shelf(), alone)
    }
    assert sorted(trained) == sorted(walked)


def test_a_searcher_that_holds_nothing_back_trains_segments_twice() -> None:
    careful, _, _ = search([TWIN, TWIN], num_slots=2)
    greedy, training, _ = search([TWIN, TWIN], num_slots=2, searcher=Greedy)
    assert len(careful) == 2
    assert len(greedy) > len(training.visited) == 2, f"{len(greedy)} segments trained"
    assert training.clashes, "nobody trained one segment at the same time as another"
