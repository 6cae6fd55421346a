"""Which reservations for workers have leaked, told from Ray's table."""

from types import SimpleNamespace

import pytest

from thaw import leaks as module
from thaw.leaks import LEAKED_AFTER_S, Leaks, _of_dead_jobs, _of_job

NOBODY = frozenset[str]()


def group(state: str = "CREATED", **resources: float) -> dict[str, object]:
    return {"state": state, "bundles": {0: resources or {"CPU": 1.0}}}


def test_one_that_is_empty_for_long_has_leaked_and_one_that_was_used_since_has_not() -> None:
    leaks, table = Leaks(), {"a": group(), "b": group("PENDING")}
    assert leaks.found(table, NOBODY, 0) == []
    assert leaks.found(table, frozenset("a"), LEAKED_AFTER_S - 1) == []
    assert leaks.found(table, NOBODY, LEAKED_AFTER_S + 1) == ["b"]
    assert leaks.found(table, NOBODY, 2 * LEAKED_AFTER_S) == ["b"]
    assert leaks.found(table, NOBODY, 2 * LEAKED_AFTER_S + 2) == ["a", "b"]


def test_those_of_slots_and_those_that_are_gone_are_left_alone() -> None:
    leaks, table = Leaks(), {"slot": group(memory=1e8), "gone": group("REMOVED")}
    leaks.found(table, NOBODY, 0)
    assert leaks.found(table, NOBODY, 10 * LEAKED_AFTER_S) == []


def test_other_jobs_are_left_alone() -> None:
    assert _of_job({"ff01000000": 1, "ff02000000": 2}, "01000000") == {"ff01000000": 1}


def test_of_jobs_that_are_over_all_is_abandoned_that_is_not_detached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = [{"JobID": "01000000", "IsDead": True}, {"JobID": "02000000", "IsDead": False}]
    monkeypatch.setattr(module.ray_state, "job_table", lambda: jobs)
    kept = SimpleNamespace(placement_group_id="cc01000000", is_detached=True)
    monkeypatch.setattr(module, "list_placement_groups", lambda **_: [kept])
    names = ("aa01000000", "bb02000000", "cc01000000")
    table = {name: group() for name in names} | {"dd01000000": group("REMOVED")}
    assert _of_dead_jobs(table) == ["aa01000000"]
