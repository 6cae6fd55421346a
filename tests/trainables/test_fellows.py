"""Trials beside one another: which segments a slot offers to train, and when it stops."""

from pathlib import Path

from tests.thaw.helpers import FACTS, publish, spec
from trainables.fellows import Fellow, Fellows
from training.schedule import Schedule
from training.store import Store
from training.walk import foresee

FAST, SLOW = spec(1e-3, head_lr=1e-1).schedule, spec(1e-3, head_lr=1e-3).schedule


def fellows(store: Store, *schedules: Schedule, of: range = range(2)) -> Fellows:
    return Fellows([Fellow(schedule, of) for schedule in schedules], FACTS, store)


def test_the_segments_of_all_that_have_yet_to_train_them(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    beside = fellows(store, FAST, SLOW)
    keys = [foresee(schedule, FACTS) for schedule in (FAST, SLOW)]
    assert [[step.key for step in way] for way in beside.ways(0)] == [[k[0]] for k in keys]
    publish(store, FAST, 1)
    assert [[step.key for step in way] for way in beside.ways(0)] == [[keys[1][0]]]


def test_nothing_is_offered_but_what_was_promised_or_where_a_record_is_missing(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path))
    assert not fellows(store, FAST).ways(1), "its first segment is not there"
    publish(store, FAST, 1)
    assert len(fellows(store, FAST).ways(1)) == 1
    assert not fellows(store, SLOW, of=range(1, 2)).ways(0), "the leader's own"
    publish(store, FAST, 2)
    assert not fellows(store, FAST).ways(2)
    assert len(fellows(store, FAST, of=range(3)).ways(2)) == 1


def test_a_fellow_that_got_nothing_is_not_offered_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    beside = fellows(store, FAST, SLOW)
    publish(store, FAST, 1)
    beside.let_go(0)
    publish(store, SLOW, 1)  # by itself, in another slot, where its second segment is under way
    assert [way[-1].key for way in beside.ways(1)] == [foresee(FAST, FACTS)[1]]
    beside.clear()
    assert not beside.ways(1)


def test_a_fellow_whose_segments_are_yet_to_come_is_kept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    beside = fellows(store, FAST, of=range(1, 2))
    beside.let_go(0)
    publish(store, FAST, 1)
    assert [way[-1].key for way in beside.ways(1)] == [foresee(FAST, FACTS)[1]]
