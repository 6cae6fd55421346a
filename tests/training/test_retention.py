"""Retention: what is dropped, in which order, and never what runs; leases; the budget of a search.

The rule is tested on made-up trees, the rest on a real store in a folder.
"""

import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.test_store import RECORD
from training.budget import Budget, prune, survey
from training.errors import UserError
from training.leases import Lease, leased
from training.retention import Node, Protected, to_drop
from training.sizes import parse_bytes, shown_bytes
from training.store import LITTER_S, Store


def node(key: str, parent: str, size: int = 100, device_s: float = 1.0, used_s: float = 0) -> Node:
    return Node(key=key, parent=parent, state_bytes=size, device_s=device_s, used_s=used_s)


def chain(*keys: str, root: str = "root", **values: float) -> list[Node]:
    parents = (root, *keys)
    return [node(key, parent, **values) for key, parent in zip(keys, parents, strict=False)]  # type: ignore[arg-type]


def order(nodes: list[Node], **protected: set[str]) -> list[str]:
    """The keys in the order in which they would go if nothing had room."""
    guard = Protected(**{name: frozenset(keys) for name, keys in protected.items()})
    return [node.key for node in to_drop(nodes, -1, guard)]


FORKED = [*chain("a", "b", "c"), *chain("d", "e", root="b")]
"""a - b - c, and b - d - e: b is a fork, and two trials went through a."""


def test_leaves_go_first_and_forks_last() -> None:
    assert order(FORKED) == ["e", "c", "d", "a", "b"]


def test_what_is_kept_goes_after_forks_and_what_runs_stays() -> None:
    assert order(FORKED, kept={"c"}, running={"e"}) == ["d", "a", "b", "c"]


def test_what_trials_to_come_want_goes_with_the_forks() -> None:
    assert order(FORKED, wanted={"a", "d"})[:2] == ["e", "c"]


def test_what_is_cheap_to_train_again_per_byte_goes_first() -> None:
    cheap, dear = node("cheap", "root", device_s=1), node("dear", "root", device_s=9)
    assert order([dear, cheap]) == ["cheap", "dear"]
    small, large = node("small", "root", size=10), node("large", "root", size=900)
    assert order([small, large]) == ["large", "small"]


def test_the_longer_unused_goes_first_where_all_else_is_equal() -> None:
    nodes = [node("new", "root", used_s=2), node("old", "root", used_s=1)]
    assert order(nodes) == ["old", "new"]


def test_a_state_that_goes_makes_its_neighbours_dearer() -> None:
    """Of a long trial, states at even distances stay."""
    keys = "abcdefgh"
    gone = {node.key for node in to_drop(chain(*keys), 400, Protected())}
    assert [key for key in keys if key not in gone] == list("aceg")


def test_a_state_without_a_record_goes_first() -> None:
    assert order([*FORKED, node("orphan", "", device_s=0)])[0] == "orphan"


def test_nothing_goes_where_all_fits() -> None:
    assert to_drop(FORKED, 500, Protected()) == []
    assert len(to_drop(FORKED, 499, Protected())) == 1


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[Node], Protected]:
    """Forests of up to 25 keys, some without a state, with some of them protected."""
    number = draw(st.integers(0, 25))
    nodes = [
        Node(
            key=f"k{index}",
            parent=f"k{draw(st.integers(0, index - 1))}" if index and draw(st.booleans()) else "r",
            state_bytes=draw(st.sampled_from([0, 1, 50, 700])),
            device_s=draw(st.sampled_from([0.0, 0.1, 1 / 3, 20.0])),
            used_s=draw(st.sampled_from([0.0, 1.0, 2.0])),
        )
        for index in range(number)
    ]
    keys = st.frozensets(st.sampled_from([f"k{index}" for index in range(26)]), max_size=8)
    protected = Protected(running=draw(keys), kept=draw(keys), wanted=draw(keys))
    return draw(st.permutations(nodes)), protected


BUDGETS = st.integers(0, 3000)


@given(tree=trees(), budget=BUDGETS)
def test_what_runs_is_never_dropped(tree: tuple[list[Node], Protected], budget: int) -> None:
    nodes, protected = tree
    assert protected.running.isdisjoint(node.key for node in to_drop(nodes, budget, protected))


@given(tree=trees(), budget=BUDGETS)
def test_the_rest_fits_whenever_it_can(tree: tuple[list[Node], Protected], budget: int) -> None:
    nodes, protected = tree
    dropped = to_drop(nodes, budget, protected)
    assert len({node.key for node in dropped}) == len(dropped)
    assert all(node.state_bytes for node in dropped)
    running = sum(node.state_bytes for node in nodes if node.key in protected.running)
    rest = sum(node.state_bytes for node in nodes) - sum(node.state_bytes for node in dropped)
    assert rest <= max(budget, running)


@given(tree=trees(), budget=BUDGETS, less=BUDGETS)
def test_a_smaller_budget_drops_the_same_and_more(
    tree: tuple[list[Node], Protected], budget: int, less: int
) -> None:
    nodes, protected = tree
    large = to_drop(nodes, budget, protected)
    assert to_drop(nodes, budget - less, protected)[: len(large)] == large


@given(tree=trees(), budget=BUDGETS)
def test_what_is_kept_goes_only_after_all_others(
    tree: tuple[list[Node], Protected], budget: int
) -> None:
    nodes, protected = tree
    dropped = {node.key for node in to_drop(nodes, budget, protected)}
    if dropped & protected.kept:
        others = {node.key for node in nodes if node.state_bytes} - protected.kept
        assert others - protected.running <= dropped


@given(tree=trees())
def test_the_order_of_the_nodes_does_not_matter(tree: tuple[list[Node], Protected]) -> None:
    nodes, protected = tree
    assert to_drop(nodes, 100, protected) == to_drop(nodes[::-1], 100, protected)


def key_of(number: int) -> str:
    return f"{number:064x}"


def add(store: Store, number: int, parent: int | None = None) -> str:
    """Publish a segment with a state of about 5 KB."""
    record = replace(
        RECORD, key=key_of(number), parent="cd" * 32 if parent is None else key_of(parent)
    )
    store.publish(record, {"models": {"w": torch.zeros(1000)}})
    return record.key


def held(store: Store) -> list[int]:
    return sorted(int(entry.key, 16) for entry in store.entries() if entry.state_bytes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Ten segments of one trial."""
    store = Store(str(tmp_path / "store"))
    for number in range(10):
        add(store, number, number - 1 if number else None)
    return store


def total_bytes(store: Store) -> int:
    return sum(entry.record_bytes + entry.state_bytes for entry in store.entries())


def test_pruning_fits_the_budget_and_keeps_every_record(store: Store) -> None:
    before = total_bytes(store)
    dry = prune(store, before // 2, dry_run=True)
    assert (dry.bytes_before, total_bytes(store)) == (before, before)
    done = prune(store, before // 2)
    assert done == dry
    assert done.bytes_after == total_bytes(store) <= before // 2
    fresh = Store(store.url)
    assert [number for number in range(10) if fresh.record(key_of(number)) is None] == []


def test_pruning_leaves_what_another_search_leases(store: Store) -> None:
    mine, theirs = Lease(store), Lease(Store(store.url))
    mine.renew({key_of(1)})
    theirs.renew({key_of(3), key_of(9)})
    prune(store, 0, lease=mine)
    assert held(store) == [3, 9]
    theirs.release()
    prune(store, 0, lease=mine)
    assert held(store) == []


def age(store: Store, lease: Lease, seconds: float) -> None:
    path = f"leases/{lease.name}.json"
    body = json.loads(store.files.read(path) or b"")
    store.files.write(path, json.dumps(body | {"at": body["at"] - seconds}).encode())


def test_a_stale_or_damaged_lease_counts_for_nothing(store: Store) -> None:
    fresh, stale, damaged = (Lease(store, name) for name in ("fresh", "stale", "damaged"))
    for number, lease in enumerate((fresh, stale, damaged)):
        lease.renew({key_of(number)})
    age(store, fresh, LITTER_S - 60)
    age(store, stale, LITTER_S + 1)
    store.files.write("leases/damaged.json", b'{"at": ')
    assert leased(store) == {key_of(0)}
    assert leased(store, but="fresh") == frozenset()


@pytest.mark.parametrize(
    "data",
    [b"[" * 200_000, *(b'{"at": %s, "keys": ["a"]}' % at for at in (b"1e999", b"NaN", b"9" * 400))],
    ids=["deep", "infinite", "not a number", "huge"],
)
def test_a_hostile_lease_counts_for_nothing(data: bytes, store: Store) -> None:
    store.files.write("leases/hostile.json", data)
    assert leased(store) == frozenset()


def test_a_lease_from_the_far_future_counts_for_nothing(store: Store) -> None:
    ahead = Lease(store)
    ahead.renew({key_of(0)})
    age(store, ahead, 60 - LITTER_S)
    assert leased(store) == {key_of(0)}, "a clock that is a little ahead"
    age(store, ahead, -61)
    assert leased(store) == frozenset()


def test_a_lease_is_written_where_a_key_is_new_or_it_is_old(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(store)
    lease.renew({"a", "b"})
    lease.renew({"a"})
    assert leased(store) == {"a", "b"}
    lease.renew({"a", "c"})
    assert leased(store) == {"a", "c"}
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    lease.renew({"a"})
    assert leased(store) == {"a"}


def test_a_search_stays_within_its_budget(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    size = total_bytes_of_one(tmp_path)
    budget = Budget(store, 5 * size, Lease(store))
    for number in range(30):
        key = add(store, number, number - 1 if number else None)
        budget.enforce(key, partial(Protected, running=frozenset([key])))
        assert total_bytes(store) <= 5 * size + 30 * 1000, f"after segment {number}"
        assert number in held(store), f"the running state {number} was dropped"
    assert len(survey(store)[0]) == 30


def total_bytes_of_one(folder: Path) -> int:
    store = Store(str(folder / "one"))
    add(store, 0)
    return total_bytes(store)


def test_what_is_protected_is_asked_for_only_where_the_store_is_full(store: Store) -> None:
    def asked() -> Protected:
        raise AssertionError("asked for nothing")

    budget = Budget(store, 10**9, Lease(store))
    assert [budget.enforce(key_of(number), asked) for number in range(10)] == [()] * 10


def test_a_search_within_its_budget_lists_the_store_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = []
    listing = store.files.listing
    monkeypatch.setattr(store.files, "listing", lambda *a: listings.append(a) or listing(*a))
    budget = Budget(store, 10**9, Lease(store))
    for number in range(10):
        assert budget.enforce(key_of(number), Protected) == ()
    assert len(listings) == 1


def test_what_cannot_fit_is_not_pruned_at_every_result(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Protected(running=frozenset(map(key_of, range(10))))
    budget = Budget(store, 1, Lease(store))
    assert budget.enforce(key_of(0), lambda: running) == ()
    monkeypatch.setattr(store.files, "listing", None)
    assert budget.enforce(key_of(1), lambda: running) == ()


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("20GB", 20 * 10**9),
        ("0B", 0),
        ("1.5 KiB", 1536),
        ("2tb", 2 * 10**12),
        (".5MB", 500_000),
        ("3MiB", 3 * 2**20),
    ],
)
def test_a_size_is_read(text: str, num_bytes: int) -> None:
    assert parse_bytes(text, "--budget") == num_bytes


@pytest.mark.parametrize(
    "text", ["", "20", "GB", "-1GB", "20G", "1e3GB", "nan GB", "2 0GB", "\u0661GB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--budget '.*': must be a number with a unit"):
        parse_bytes(text, "--budget")


@given(num=st.integers(0, 10**15))
def test_a_size_is_shown_to_three_digits(num: int) -> None:
    assert parse_bytes(shown_bytes(num), "size") == pytest.approx(num, rel=5.1e-3)
