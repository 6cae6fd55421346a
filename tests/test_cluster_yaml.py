"""cluster.yaml against Ray's own schema; needs no network."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

CLUSTER_YAML = Path(__file__).parents[1] / "cluster.yaml"


@pytest.fixture
def cluster() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CLUSTER_YAML.read_text())
    return config


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    validate_config(prepare_config(cluster))


def test_ray_refuses_it_without_a_head(cluster: dict[str, Any]) -> None:
    del cluster["head_node_type"]
    with pytest.raises(ValueError, match="head_node_type"):
        validate_config(prepare_config(cluster))


def test_the_head_is_on_demand_and_every_worker_a_spot_gpu(cluster: dict[str, Any]) -> None:
    node_types = cluster["available_node_types"]
    head = node_types.pop(cluster["head_node_type"])
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["resources"]["GPU"] == 0
    for name, worker in node_types.items():
        assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot", name
        assert worker["resources"]["GPU"] > 0, name


def test_its_images_run_the_pinned_ray(cluster: dict[str, Any]) -> None:
    pins = (CLUSTER_YAML.parent / "constraints.txt").read_text().splitlines()
    (version,) = [pin.removeprefix("ray==") for pin in pins if pin.startswith("ray==")]
    docker = cluster["docker"]
    for image in (docker["head_image"], docker["worker_image"]):
        assert image.startswith(f"rayproject/ray:{version}-py311")
