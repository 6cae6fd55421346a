"""Where the actors of slots run, and where a Ray that we start listens; starts none."""

import os

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
