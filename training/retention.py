"""Which states to drop so that a store fits its budget; computed, nothing is touched."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_ORDINARY, _FORK, _KEPT = range(3)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A key of the store as retention sees it."""

    key: str
    parent: str
    """Key before it, which may be unknown; empty where there is no record."""
    state_bytes: int
    """0 where there is no state."""
    device_s: float
    """Device-seconds that its segment took; 0 where there is no record."""
    used_s: float
    """When the state was last written or read, in seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Protected:
    """Keys whose states are worth more than the tree of records shows."""

    running: frozenset[str] = frozenset()
    """Needed by a trial that runs now: never dropped."""
    kept: frozenset[str] = frozenset()
    """The best and the ends: dropped after all others."""
    wanted: frozenset[str] = frozenset()
    """On the way of trials that are known to come: dropped like forks."""


def to_drop(nodes: Iterable[Node], budget_bytes: int, protected: Protected) -> list[Node]:
    """Return the states to drop, first to last, until the rest has at most `budget_bytes`.

    States go in three classes: ordinary ones, then forks (two or more known children, or wanted by
    trials to come), then what is kept (the best and the ends). What a running trial needs is never
    dropped, even if the rest does not fit.

    Within a class the state goes first whose loss costs least per byte. A state serves every known
    segment that has no nearer kept state before it. Who asks for one of them must, without the
    state, first train from the next kept state up to here: that is what the loss costs each time.
    How often is taken from the past: a segment counts once for every trial that went through it
    (the leaves below it). So states near the leaves go before trunks, cheap ones before dear ones,
    large ones before small ones, and each state that goes makes its neighbours dearer, which spaces
    the rest evenly. Ties: the deeper first, then the one whose last use is longer ago.

    The order does not depend on the budget: a smaller one drops the same states and more.
    """
    tree = _Tree(nodes)
    excess = sum(node.state_bytes for node in tree.held.values()) - budget_bytes
    heap = [
        tree.rank(node, _class(node.key, tree, protected))
        for node in tree.held.values()
        if node.key not in protected.running
    ]
    heapq.heapify(heap)
    dropped: list[Node] = []
    while excess > 0 and heap:
        old = heap[0]
        node = tree.nodes[old[-1]]
        if (now := tree.rank(node, old[0])) != old:  # dearer since neighbours went
            heapq.heapreplace(heap, now)
            continue
        heapq.heappop(heap)
        tree.drop(node)
        dropped.append(node)
        excess -= node.state_bytes
    return dropped


_Rank = tuple[int, float, int, float, str]


class _Tree:
    """Nodes by key, and how much use each kept state serves while others go."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = {node.key: node for node in nodes}
        self.held = {key: node for key, node in self.nodes.items() if node.state_bytes}
        self.num_children = Counter(node.parent for node in self.nodes.values())
        self._depth: dict[str, int] = {}
        for key in self.nodes:
            self._measure_depth(key)
        self._served: Counter[str] = Counter()
        passed: Counter[str] = Counter()
        for key in sorted(self.nodes, key=lambda key: -self._depth[key]):
            trials = passed[key] or 1
            passed[self.nodes[key].parent] += trials
            self._served[self._nearest(key)[0]] += trials

    def rank(self, node: Node, kind: int) -> _Rank:
        """Return the place in the order of dropping; it only rises while others go."""
        seconds = self._nearest(node.parent)[1]
        cost = (seconds + node.device_s) * self._served[node.key] / node.state_bytes
        return kind, cost, -self._depth[node.key], node.used_s, node.key

    def drop(self, node: Node) -> None:
        """Take a state away; the next one above serves what it served."""
        del self.held[node.key]
        self._served[self._nearest(node.parent)[0]] += self._served.pop(node.key)

    def _nearest(self, key: str) -> tuple[str, float]:
        """Return the nearest kept state at or before `key`, and the seconds from there to it."""
        seconds = 0.0
        while key in self.nodes and key not in self.held:
            seconds += self.nodes[key].device_s
            key = self.nodes[key].parent
        return key, seconds

    def _measure_depth(self, key: str) -> None:
        way = []
        while key in self.nodes and key not in self._depth:
            way.append(key)
            key = self.nodes[key].parent
        depth = self._depth.get(key, 0)
        for key in reversed(way):
            depth += 1
            self._depth[key] = depth


def _class(key: str, tree: _Tree, protected: Protected) -> int:
    if key in protected.kept:
        return _KEPT
    is_fork = tree.num_children[key] > 1 or key in protected.wanted
    return _FORK if is_fork else _ORDINARY
