"""Which reservations for workers have leaked, told from Ray's table."""

from thaw.leaks import LEAKED_AFTER_S, Leaks, _of_job

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
