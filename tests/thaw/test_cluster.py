"""Where the actors of slots run: what they ask for."""

import pytest

from thaw.cluster import DRIVER, slot_resources


@pytest.mark.parametrize("cluster", [{"CPU": 8.0}, {"CPU": 8.0, DRIVER: 0.0}])
def test_without_a_node_for_drivers_a_slot_runs_anywhere(cluster: dict[str, float]) -> None:
    assert set(slot_resources(cluster)) == {"memory"}


def test_a_thousand_slots_fit_on_the_node_for_drivers() -> None:
    asked = slot_resources({"CPU": 8.0, "GPU": 4.0, DRIVER: 1.0})
    assert set(asked) == {"memory", DRIVER}
    assert 0 < asked[DRIVER] * 1000 <= 1
