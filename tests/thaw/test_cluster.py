"""Where the actors of slots run, and where a Ray that we start listens; starts none."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ray.util import get_node_ip_address

from thaw.cluster import DRIVER, _own_address, slot_resources


@pytest.mark.parametrize("cluster", [{"CPU": 8.0}, {"CPU": 8.0, DRIVER: 0.0}])
def test_without_a_node_for_drivers_a_slot_runs_anywhere(cluster: dict[str, float]) -> None:
    assert set(slot_resources(cluster)) == {"memory"}


def test_a_thousand_slots_fit_on_the_node_for_drivers() -> None:
    asked = slot_resources({"CPU": 8.0, "GPU": 4.0, DRIVER: 1.0})
    assert set(asked) == {"memory", DRIVER}
    assert 0 < asked[DRIVER] * 1000 <= 1


def test_a_ray_that_we_start_has_the_address_of_the_loopback() -> None:
    before = os.environ.get("RAY_ADDRESS"), get_node_ip_address()
    with _own_address():
        assert get_node_ip_address() == "127.0.0.1"
        assert os.environ["RAY_ADDRESS"] == f"127.0.0.1:{os.environ['RAY_GCS_SERVER_PORT']}"
    assert (os.environ.get("RAY_ADDRESS"), get_node_ip_address()) == before


def test_a_cluster_that_asks_for_a_token_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        arguments = ("search", "unfreeze_timing", "--address", address, "--store", "store")
        ended = subprocess.run(
            [sys.executable, "-m", "thaw", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ
            | {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}
            | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert f"--address {address}: Token authentication is enabled but no" in ended.stderr
