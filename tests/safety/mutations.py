"""Valid files, changed: some of their bytes, or some of their structure."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**400,
    float("nan"),
    float("inf"),
    1e308,
    "",
    "../../x",
    "/etc/passwd",
    "x\0y",
    "<script>alert(1)</script>",
    "\x1b]0;owned\x07\x1b[2J",
    "[red]x[/blue]",
    "evil.py",
    "file:///etc/passwd",
    "x" * 5000,
    "9" * 5000,
    [],
    {},
    [[[[[]]]]],
    {"kind": "constant", "x": 1},
)
TAGS = (
    "!!python/object/apply:os.system ['touch PWNED']",
    "!!python/name:os.system",
    "!!timestamp x",
    "!!int ''",
    "!!float x",
    "!!binary ä",
    "2020-13-45",
    "&a [*a]",
    "{? [a]: b}",
    "[" * 3000,
)


def _places(data: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield way
    items: Any = ()
    if isinstance(data, dict):
        items = data.items()
    elif isinstance(data, list):
        items = enumerate(data)
    for key, value in items:
        yield from _places(value, (*way, key))


def structures(valid: Any) -> st.SearchStrategy[Any]:
    """Return `valid` with up to three of its values replaced, renamed or taken away."""
    ways = [way for way in _places(valid) if way]
    change = st.tuples(st.sampled_from(ways), st.sampled_from(HOSTILE), st.integers(0, 9))

    def changed(changes: list[tuple[tuple[Any, ...], Any, int]]) -> Any:
        data = copy.deepcopy(valid)
        for (*way, last), value, how in changes:
            inner = data
            try:
                for key in way:
                    inner = inner[key]
                if how == 0:
                    del inner[last]
                elif how == 1 and isinstance(inner, dict):
                    inner[str(value)] = inner.pop(last)
                else:
                    inner[last] = copy.deepcopy(value)
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took it away
        return data

    return st.lists(change, min_size=1, max_size=3).map(changed)


def bytes_of(valid: bytes) -> st.SearchStrategy[bytes]:
    """Return `valid` with up to four pieces replaced by other bytes."""
    pieces = st.sampled_from([tag.encode() for tag in TAGS]) | st.binary(max_size=8)
    change = st.tuples(st.integers(0, len(valid)), st.integers(0, 12), pieces)

    def changed(changes: list[tuple[int, int, bytes]]) -> bytes:
        data = valid
        for at, num, piece in changes:
            data = data[:at] + piece + data[at + num :]
        return data

    return st.lists(change, min_size=1, max_size=4).map(changed)
