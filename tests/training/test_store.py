"""The store: published whole or not at all; what is damaged counts as absent."""

import hashlib
import io
import json
import os
import pickle
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.helpers import (
    TinyTask,
    keys,
    outcome,
    part_of,
    path_of,
    run,
    same,
    schedule,
    stage,
    state,
    trainer,
)
from training.errors import UserError
from training.record import Record
from training.store import Store
from training.trouble import StoreFull

TINY = TinyTask()
PLAN = schedule(stage(epochs=3))
KEYS = keys(PLAN, TINY)
RECORD = Record(
    key="ab" * 32,
    parent="cd" * 32,
    index=0,
    data="target",
    metrics={"train_loss": 0.1 + 0.2, "val_loss": 1e-300},
    num_steps=3,
    lr_first=1e-3,
    lr_last=1e-4,
    world_size=1,
    train_s=0.5,
    eval_s=0.25,
    restore_s=0.0,
)
STATE: dict[str, Any] = {"models": {"w": torch.arange(6.0)}, "optimizer": {}, "averaged": None}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the three segments of `PLAN`."""
    store = Store(str(tmp_path_factory.mktemp("whole")))
    run(PLAN, store, TINY)
    return store


def test_what_is_published_is_read(tmp_path: Path) -> None:
    Store(str(tmp_path)).publish(RECORD, STATE)
    again = Store(str(tmp_path))
    assert again.record(RECORD.key) == RECORD
    assert again.has_state(RECORD.key)
    same(again.state(RECORD.key), STATE)


def test_what_was_never_published_is_absent(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert (store.record("ef" * 32), store.state("ef" * 32)) == (None, None)
    assert not store.has_state("ef" * 32)


def test_a_metric_that_is_no_number_is_read(tmp_path: Path) -> None:
    record = replace(RECORD, metrics={"train_loss": float("nan"), "val_loss": float("inf")})
    Store(str(tmp_path)).publish(record, STATE)
    found = Store(str(tmp_path)).record(RECORD.key)
    assert found is not None
    assert str(found.metrics) == "{'train_loss': nan, 'val_loss': inf}"


def test_a_file_url_is_a_store(tmp_path: Path) -> None:
    Store(f"file://{tmp_path}").publish(RECORD, STATE)
    assert Store(str(tmp_path)).record(RECORD.key) == RECORD


def test_an_unknown_url_is_refused() -> None:
    with pytest.raises(UserError, match=r"store 'gopher://x/y'"):
        Store("gopher://x/y")


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a flipped bit": flip,
    "cut in half": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"x",
    "other bytes": lambda data: b"\xff\xfe" * 200,
    "zeros": lambda data: bytes(len(data)),
}


def damage(store: Store, key: str, name: str, how: str) -> None:
    path = path_of(store, key, name)
    path.write_bytes(DAMAGES[how](path.read_bytes()))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_state_is_absent(how: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    damage(store, RECORD.key, "state", how)
    assert store.state(RECORD.key) is None


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_record_is_absent(how: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    damage(store, RECORD.key, "record.json", how)
    assert Store(str(tmp_path)).record(RECORD.key) is None


@given(where=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_record_is_found(
    where: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(str(tmp_path_factory.getbasetemp() / "flipped"))
    store.publish(RECORD, STATE)
    path = path_of(store, RECORD.key, "record.json")
    data = bytearray(path.read_bytes())
    data[where % len(data)] ^= 1 << bit
    path.write_bytes(data)
    assert Store(store.url).record(RECORD.key) in (None, RECORD)


@pytest.mark.parametrize(
    "mutate",
    [
        lambda e: e["record"]["metrics"].update(val_loss=0.0),
        lambda e: e["record"].update(num_steps=4),
        lambda e: e["record"].pop("data"),
        lambda e: e["record"].update(extra=1),
        lambda e: e.update(record=None),
        lambda e: e.pop("sha256"),
        lambda e: e.pop("record"),
    ],
    ids=["metric", "steps", "missing", "unknown", "null", "no digest", "no record"],
)
def test_a_mutated_record_is_absent(mutate: Callable[[Any], Any], tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    path = path_of(store, RECORD.key, "record.json")
    envelope = json.loads(path.read_text())
    mutate(envelope)
    path.write_text(json.dumps(envelope))
    assert Store(str(tmp_path)).record(RECORD.key) is None


def test_a_record_under_another_key_is_absent(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    other = "ef" * 32
    path_of(store, other, "x").parent.mkdir(parents=True)
    path_of(store, RECORD.key, "record.json").rename(path_of(store, other, "record.json"))
    assert Store(str(tmp_path)).record(other) is None


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["state", "record.json"])
def test_damage_is_trained_again_with_the_same_result(
    name: str, how: str, whole: Store, tmp_path: Path
) -> None:
    """The last segment is missing, and of its parent the state or the record is damaged."""
    store = part_of(whole, KEYS[:2], tmp_path)
    damage(store, KEYS[1], name, how)
    again = run(PLAN, store, TINY)
    for key in KEYS[1:]:
        same({key: state(whole, key)}, {key: state(store, key)})
    expected = [whole.record(key) for key in KEYS]
    same([outcome(r) for r in expected if r], [outcome(v.record) for v in again])


def test_states_that_were_cleared_away_are_trained_again(whole: Store, tmp_path: Path) -> None:
    store = part_of(whole, KEYS[:2], tmp_path)
    for key in KEYS[:2]:
        path_of(store, key, "state").unlink()
    run(PLAN, store, TINY)
    same(state(whole, KEYS[2]), state(store, KEYS[2]))


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.target),)


def bomb(kind: str, target: Path) -> bytes:
    if kind == "pickle":
        return pickle.dumps(Bomb(target), protocol=2)
    buffer = io.BytesIO()
    torch.save({"models": Bomb(target)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_bomb_is_absent_and_does_not_go_off(kind: str, tmp_path: Path) -> None:
    """It carries a right checksum, as somebody who means harm would give it."""
    store = Store(str(tmp_path / "store"))
    store.publish(RECORD, STATE)
    payload = bomb(kind, tmp_path / "harm")
    digest = hashlib.sha256(payload).hexdigest().encode()
    path_of(store, RECORD.key, "state").write_bytes(digest + payload)
    assert store.state(RECORD.key) is None
    assert not (tmp_path / "harm").exists()


def test_the_bomb_works(tmp_path: Path) -> None:
    pickle.loads(bomb("pickle", tmp_path / "harm"))
    assert (tmp_path / "harm").exists()


def publish_to_a_full_disk(store: Store, limit: int) -> None:
    """Publish where no file may grow past `limit` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StoreFull, match="File too large"):
            store.publish(RECORD, {"models": {"w": torch.zeros(10_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("limit", [0, 100, 20_000])
def test_a_write_that_fails_leaves_nothing(limit: int, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    publish_to_a_full_disk(store, limit)
    assert files(tmp_path) == []
    assert (store.record(RECORD.key), store.state(RECORD.key)) == (None, None)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    publish_to_a_full_disk(store, 100)
    assert files(tmp_path) == ["record.json", "state"]
    same(store.state(RECORD.key), STATE)


def test_a_store_that_cannot_be_written_leaves_the_trainer_able_to_go_on(tmp_path: Path) -> None:
    """The segment that could not be published is trained again, with the same result."""
    store = Store(str(tmp_path / "store"))
    warm = trainer(TINY, store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StoreFull, match="File too large"):
            run(PLAN, store, TINY, by=warm)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run(PLAN, store, TINY, by=warm)
    fresh = Store(str(tmp_path / "fresh"))
    run(PLAN, fresh, TINY)
    for key in KEYS:
        same({key: state(fresh, key)}, {key: state(store, key)})


def other(key: str, parent: str = "cd" * 32) -> Record:
    return replace(RECORD, key=key, parent=parent)


@pytest.mark.parametrize("url", ["{tmp}/store", "fsspec+memory://{tmp}/store"])
def test_entries_drop_and_litter_on_any_file_system(url: str, tmp_path: Path) -> None:
    store = Store(url.format(tmp=tmp_path))
    assert (store.entries(), store.litter()) == ([], [])
    store.publish(RECORD, STATE)
    store.publish(other("ef" * 32), STATE)
    store.files.write("notes.txt", b"somebody else's")
    store.drop_state("ef" * 32)
    store.drop_state("ef" * 32)
    entries = {entry.key: entry for entry in Store(store.url).entries()}
    assert set(entries) == {"ab" * 32, "ef" * 32}
    assert entries["ab" * 32].state_bytes == store.state_bytes("ab" * 32) > 0
    assert entries["ef" * 32].state_bytes == store.state_bytes("ef" * 32) == 0
    assert entries["ef" * 32].record_bytes > 0
    again = Store(store.url)
    assert set(again.records(["ab" * 32, "ef" * 32, "00" * 32])) == set(entries)
    same(again.state("ab" * 32), STATE)


def test_a_local_store_tells_the_bytes_that_are_on_the_disk(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    (entry,) = store.entries()
    assert entry.state_bytes == path_of(store, RECORD.key, "state").stat().st_size
    assert entry.record_bytes == path_of(store, RECORD.key, "record.json").stat().st_size


def test_reading_a_state_is_a_use_of_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    os.utime(path_of(store, RECORD.key, "state"), (1e9, 1e9))
    assert [entry.used_s for entry in store.entries()] == [1e9]
    store.state(RECORD.key)
    assert store.entries()[0].used_s == pytest.approx(time.time(), abs=60)


def test_litter_is_old_and_unfinished(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    folder = f"{RECORD.key[:2]}/{RECORD.key}"
    old = [f"{folder}/state.{'0' * 32}", f"{folder}/record.json.{'1' * 32}", "leases/gone.json"]
    for path in (*old, f"{folder}/state.{'2' * 32}", "leases/here.json", "state.old"):
        store.files.write(path, b"x")
    for path in (*old, "state.old", f"{folder}/state", f"{folder}/record.json"):
        os.utime(tmp_path / path, (1e9, 1e9))
    assert sorted(store.litter()) == sorted(old)


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_is_found_by_path(how: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    (entry,) = store.entries()
    assert store.damage(entry) == []
    damage(store, RECORD.key, "state", how)
    assert store.damage(entry) == [f"ab/{RECORD.key}/state"]
    damage(store, RECORD.key, "record.json", how)
    assert store.damage(entry) == [f"ab/{RECORD.key}/{n}" for n in ("record.json", "state")]


def test_looking_up_a_known_record_takes_less_than_a_millisecond(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(RECORD, STATE)
    assert store.record(RECORD.key)
    seconds = []
    for _ in range(200):
        started = time.perf_counter()
        store.record(RECORD.key)
        seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds) < 1e-3


FULL_DISK = """
import sys, torch
from dataclasses import replace
from pathlib import Path
from training.record import Record
from training.store import Store
from training.trouble import StoreFull

record = Record.from_plain(eval(sys.argv[1]))
keys = [f"{number:02x}" * 32 for number in range(9)]
for folder, floats in zip(sys.argv[2:4], (4_000, 15 * 1024)):
    store, state = Store(folder), {"models": {"w": torch.zeros(floats)}}
    for number, key in enumerate(keys):
        try:
            store.publish(replace(record, key=key), state)
        except StoreFull as error:
            print(error)
            break
    files = sorted(path.name for path in Path(folder).rglob("*") if path.is_file())
    assert files == ["record.json"] * number + ["state"] * number, files
    assert not any(Store(folder).damage(entry) for entry in store.entries())
    assert store.record(key) is None and not store.has_state(key)
    print(number)
    if number:  # room is made, and it goes on
        store.drop_state(keys[0])
        store.publish(replace(record, key=key), state)
        assert Store(folder).state(key) is not None
"""


def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    """On disks of 16 pages, mounted for one process: a state and its record are whole, or gone.

    The first has no room for the third state, the second for the first state but not its record.
    """
    disks = [str(tmp_path / name) for name in ("one", "two")]
    mount = " && ".join(f"mkdir -p {d} && mount -t tmpfs -o size=64k none {d}" for d in disks)
    in_namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*in_namespace, mount], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here; the tests with RLIMIT_FSIZE above cover the rest")
    arguments = [sys.executable, "-c", FULL_DISK, repr(RECORD.plain()), *disks]
    done = subprocess.run(
        [*in_namespace, f'{mount} && exec "$@"', "sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    first, published, second, none = done.stdout.splitlines()
    assert (published, none) == ("2", "0")
    for disk, message in zip(disks, (first, second), strict=True):
        assert message.startswith(f"store '{disk}': no room for "), message
        assert "No space left on device; " in message and " free)" in message, message
