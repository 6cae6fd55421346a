"""`thaw store show|verify|prune`: what they print, what they delete, and how they refuse."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.thaw.helpers import Thaw
from training.leases import Lease
from training.record import Record
from training.store import Store

RECORD = Record(
    key="",
    parent="",
    index=0,
    data="target",
    metrics={},
    num_steps=1,
    lr_first=0.0,
    lr_last=0.0,
    world_size=2,
    train_s=3.0,
    eval_s=1.0,
    restore_s=0.0,
)
PARENTS = {"b": "a", "c": "b", "d": "c", "e": "c", "2": "1"}
"""a is the root of b, c and the two ends d and e; 1 is the root of 2."""


def key(letter: str) -> str:
    return letter * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two trees: four segments with one fork, and one."""
    store = Store(str(tmp_path / "store"))
    for child, parent in PARENTS.items():
        record = replace(RECORD, key=key(child), parent=key(parent))
        store.publish(record, {"models": {"w": torch.zeros(1000 if child != "d" else 9000)}})
    return store


def held(store: Store) -> str:
    return "".join(sorted(entry.key[0] for entry in store.entries() if entry.state_bytes))


def cells(out: str, first: str) -> list[str]:
    """The words of the one line that begins with `first`."""
    (line,) = [line for line in out.splitlines() if line.startswith(first)]
    return line.split()


def test_show_sums_up_and_tells_the_trees_apart(store: Store, thaw: Thaw) -> None:
    store.drop_state(key("b"))
    code, out, _ = thaw("store", "show", store.url)
    assert code == 0
    assert cells(out, "records")[1] == "5"
    assert cells(out, "states")[1] == "4"
    assert cells(out, "aaa")[1:4] == ["4", "1", "3"]
    assert cells(out, "aaa")[-1] == "32"
    assert cells(out, "111")[1:4] == ["1", "0", "1"]
    biggest = out.split("biggest states:")[1].splitlines()
    assert biggest[2].startswith("ddd"), biggest


def test_verify_finds_nothing_in_a_whole_store(store: Store, thaw: Thaw) -> None:
    code, out, _ = thaw("store", "verify", store.url)
    assert (code, out) == (0, "10 files, 0 damaged, 0 left by killed processes\n")


def test_verify_lists_what_is_damaged_and_drops_it_when_told(store: Store, thaw: Thaw) -> None:
    folder = Path(store.url) / "dd" / key("d")
    for name in ("state", "record.json"):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)
    code, out, _ = thaw("store", "verify", store.url)
    listed = [line for line in out.splitlines() if line.startswith("damaged: ")]
    assert listed == [f"damaged: {folder}/{name}" for name in ("record.json", "state")]
    assert code == 1
    assert len(list(folder.iterdir())) == 2
    code, out, _ = thaw("store", "verify", store.url, "--drop")
    assert code == 1
    assert out.splitlines()[-1].endswith("all of these deleted")
    assert list(folder.iterdir()) == []
    assert thaw("store", "verify", store.url)[0] == 0


def test_prune_fits_the_budget_and_a_dry_run_touches_nothing(store: Store, thaw: Thaw) -> None:
    code, out, _ = thaw("store", "prune", store.url, "--budget", "20KB", "--dry-run")
    assert code == 0
    assert "would drop 2 states" in out
    assert held(store) == "2bcde"
    code, out, _ = thaw("store", "prune", store.url, "--budget", "20KB")
    assert code == 0
    assert "dropped 2 states" in out
    assert held(store) == "2bc"
    assert len(store.records(map(key, PARENTS))) == 5


def test_prune_leaves_what_a_search_needs_and_says_so(store: Store, thaw: Thaw) -> None:
    Lease(store).renew({key("d")})
    _, out, _ = thaw("store", "prune", store.url, "--budget", "0B")
    assert held(store) == "d"
    assert "more than 0 B: the rest is records, and states that searches need now" in out


@pytest.mark.parametrize("command", ["show", "verify", "prune"])
def test_what_is_no_store_is_refused(command: str, tmp_path: Path, thaw: Thaw) -> None:
    options = ("--budget", "1GB") if command == "prune" else ()
    missing, empty, file = tmp_path / "missing", tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    file.write_text("x")
    for path, message in (
        (missing, "no such folder"),
        (file, "no such folder"),
        (empty, "holds no trained segment; name the folder of a --store"),
    ):
        refusal = thaw.refused("store", command, path, *options)
        assert refusal == f"store {str(path)!r}: {message}"


def test_what_is_no_size_is_refused(store: Store, thaw: Thaw) -> None:
    message = thaw.refused("store", "prune", store.url, "--budget", "20")
    assert message.startswith("--budget '20': must be a number with a unit, such as 20GB; units: ")
