"""What the Ray that thaw starts listens on, and who may speak to it."""

import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]
LISTEN = "0A"


def children(root: int) -> set[int]:
    """All processes below `root`, with it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(text.rpartition(")")[2].split()[1])
    found, before = {root}, set[int]()
    while found != before:
        before, found = found, found | {pid for pid, up in parents.items() if up in found}
    return found


def sockets(pids: set[int]) -> set[str]:
    """Inodes of the sockets of processes."""
    links = set()
    for pid in pids:
        try:
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                links.add(os.readlink(entry))
        except OSError:
            continue
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def listening(pids: set[int]) -> Iterator[str]:
    """Addresses on which processes listen."""
    own = sockets(pids)
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in own:
                words = bytes.fromhex(fields[1].partition(":")[0])
                packed = b"".join(
                    struct.pack(">I", *struct.unpack("<I", words[at : at + 4]))
                    for at in range(0, len(words), 4)
                )
                yield socket.inet_ntop(family, packed)


def test_nothing_of_a_ray_that_thaw_starts_listens_beyond_loopback() -> None:
    found = set(listening(children(os.getpid())))
    assert found, "Ray listens somewhere: the test looked in the wrong place"
    assert found <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, found


def test_it_asks_for_a_token_that_only_its_user_can_read() -> None:
    from ray._raylet import AuthenticationMode, get_authentication_mode

    assert get_authentication_mode() == AuthenticationMode.TOKEN
    token = Path.home() / ".ray" / "auth_token"
    if token.exists():  # not where RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH names another
        assert stat.S_IMODE(token.stat().st_mode) & 0o077 == 0
