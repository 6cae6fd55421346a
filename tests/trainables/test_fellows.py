"""Trials beside one another: which segments a slot offers to train, and when it stops."""

from pathlib import Path

from tests.thaw.helpers import FACTS, publish, spec
from trainables.fellows import Fellow, Fellows
from training.schedule import Schedule
from training.store import Store
from training.walk import foresee

FAST, SLOW = spec(1e-3, head_lr=1e-1).schedule, spec(1e-3, head_lr=1e-3).schedule


def fellows(store: Store, *schedules: Schedule, until: int = 2) -> Fellows:
    return Fellows([Fellow(schedule, until) for schedule in schedules], FACTS, store)


def test_the_segments_of_all_that_have_yet_to_train_them(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    beside = fellows(store, FAST, SLOW)
    keys = [foresee(schedule, FACTS) for schedule in (FAST, SLOW)]
    assert [[step.key for step in way] for way in beside.ways(1)] == [[k[0]] for k in keys]
    publish(store, FAST, 1)
    assert [[step.key for step in way] for way in beside.ways(1)] == [[keys[1][0]]]


def test_nothing_is_offered_past_the_common_part_or_where_a_record_is_missing(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path))
    assert not fellows(store, FAST).ways(2), "its first segment is not there"
    publish(store, FAST, 2)
    assert not fellows(store, FAST).ways(3)
    assert len(fellows(store, FAST, until=3).ways(3)) == 1


def test_a_fellow_that_got_nothing_is_not_offered_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    beside = fellows(store, FAST, SLOW)
    publish(store, FAST, 1)
    beside.let_go(1)
    publish(store, SLOW, 1)  # by itself, in another slot, where its second segment is under way
    assert [way[-1].key for way in beside.ways(2)] == [foresee(FAST, FACTS)[1]]
    beside.clear()
    assert not beside.ways(2)
