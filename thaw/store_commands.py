"""What `thaw store` does: show what a store holds, verify its files, prune it to a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from training.budget import prune, survey
from training.errors import UserError
from training.retention import Node
from training.sizes import parse_bytes, shown_bytes
from training.store import Store

_SHORT = 12
_SHOWN = 8


def show_store(url: str, console: Console) -> None:
    """Print what a store holds: sums, the tree of each root, and the biggest states."""
    store = _open(url)
    nodes, record_bytes = survey(store)
    states = [node for node in nodes if node.state_bytes]
    state_bytes = sum(node.state_bytes for node in states)
    sums = Table("", "number", "size", box=None, pad_edge=False)
    sums.add_row("records", str(sum(_known(node) for node in nodes)), shown_bytes(record_bytes))
    sums.add_row("states", str(len(states)), shown_bytes(state_bytes))
    size = shown_bytes(record_bytes + state_bytes)
    console.print(Text.assemble((store.url, "bold"), f": {size}"), sums, sep="\n")
    if damaged := sum(not _known(node) for node in nodes):
        console.print(f"{damaged} keys without a whole record; see `thaw store verify {store.url}`")
    console.print("\ntrees (a root is a task, its data and a seed):", _trees(nodes), sep="\n")
    biggest = Table("state", "size", "device-seconds", box=None, pad_edge=False)
    for node in sorted(states, key=lambda node: -node.state_bytes)[:_SHOWN]:
        biggest.add_row(node.key[:_SHORT], shown_bytes(node.state_bytes), f"{node.device_s:.3g}")
    console.print("\nbiggest states:", biggest, sep="\n")


def verify_store(url: str, *, drop: bool, console: Console) -> int:
    """Read every file, list the damaged ones, and return how many there are; `drop` deletes them.

    What is damaged counts as absent anyway, and is trained again where it is asked for.
    """
    store = _open(url)
    entries = store.entries()
    bar = track(
        entries,
        "verifying",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    damaged = [path for entry in bar for path in store.damage(entry)]
    for path in damaged:
        console.print(f"damaged: {store.files.full(path)}", soft_wrap=True, highlight=False)
    litter = store.litter()
    if drop:
        for path in (*damaged, *litter):
            store.files.delete(path)
    num_files = sum(bool(entry.record_bytes) + bool(entry.state_bytes) for entry in entries)
    console.print(
        f"{num_files} files, {len(damaged)} damaged, {len(litter)} left by killed processes"
        + (", all of these deleted" if drop and (damaged or litter) else "")
    )
    return len(damaged)


def prune_store(url: str, *, budget: str, dry_run: bool, console: Console) -> None:
    """Drop states until the store fits `budget`, such as 20GB; `dry_run` only says which."""
    budget_bytes = parse_bytes(budget, "--budget")
    pruned = prune(_open(url), budget_bytes, dry_run=dry_run)
    dropped = Table("state", "size", "device-seconds", box=None, pad_edge=False)
    for node in pruned.dropped[:_SHOWN]:
        dropped.add_row(node.key[:_SHORT], shown_bytes(node.state_bytes), f"{node.device_s:.3g}")
    if pruned.dropped:
        console.print(dropped)
    if (more := len(pruned.dropped) - _SHOWN) > 0:
        console.print(f"and {more} more")
    done = "would drop" if dry_run else "dropped"
    console.print(
        f"{done} {len(pruned.dropped)} states: {shown_bytes(pruned.bytes_before)} -> "
        f"{shown_bytes(pruned.bytes_after)}; every record is kept"
    )
    if pruned.bytes_after > budget_bytes:
        console.print(
            f"more than {shown_bytes(budget_bytes)}: the rest is records, and states that searches "
            "need now"
        )


def _open(url: str) -> Store:
    store = Store(url)
    if not store.files.is_folder():
        raise UserError(f"store {store.url!r}: no such folder")
    if not store.entries():
        raise UserError(
            f"store {store.url!r}: holds no trained segment; name the folder of a --store"
        )
    return store


def _known(node: Node) -> bool:
    return bool(node.parent)


def _trees(nodes: Sequence[Node]) -> Table:
    """Return a row for each root: its segments, forks, states and what they cost."""
    table = Table("root", box=None, pad_edge=False)
    for name in ("segments", "forks", "states", "size", "device-seconds"):
        table.add_column(name, justify="right")
    trees = _by_root(node for node in nodes if _known(node))
    for root, tree in sorted(trees.items(), key=lambda item: -len(item[1])):
        children = Counter(node.parent for node in tree)
        table.add_row(
            root[:_SHORT],
            str(len(tree)),
            str(sum(number > 1 for number in children.values())),
            str(sum(node.state_bytes > 0 for node in tree)),
            shown_bytes(sum(node.state_bytes for node in tree)),
            f"{sum(node.device_s for node in tree):.4g}",
        )
    return table


def _by_root(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    by_key = {node.key: node for node in nodes}
    roots: dict[str, str] = {}
    trees: dict[str, list[Node]] = {}
    for key, node in by_key.items():
        way = []
        while key in by_key and key not in roots:
            way.append(key)
            key = by_key[key].parent
        root = roots.get(key, key)
        roots.update(dict.fromkeys(way, root))
        trees.setdefault(root, []).append(node)
    return trees
