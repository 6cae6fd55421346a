"""The cluster files against Ray's own schema and KubeRay's required fields; needs no network."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from thaw.cluster import DRIVER

ROOT = Path(__file__).parents[1]
CLOUDS = ("cluster.yaml", "clusters/gcp.yaml")
LAUNCHED = (*CLOUDS, "clusters/local.yaml")
KUBERAY = json.loads((ROOT / "tests/data/kuberay.json").read_text())


def read(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return config


@pytest.fixture
def job() -> dict[str, Any]:
    return read("clusters/kuberay.yaml")


def pinned() -> str:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    (version,) = [pin.removeprefix("ray==") for pin in pins if pin.startswith("ray==")]
    return version


def pods(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The pod of each group."""
    cluster = job["spec"]["rayClusterSpec"]
    groups = {"head": cluster["headGroupSpec"]}
    groups |= {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {name: group["template"]["spec"] for name, group in groups.items()}


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_accepts_it(name: str) -> None:
    validate_config(prepare_config(read(name)))


@pytest.mark.parametrize("name", CLOUDS)
def test_ray_refuses_it_without_a_head(name: str) -> None:
    config = read(name)
    del config["head_node_type"]
    with pytest.raises(ValueError, match="head_node_type"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_refuses_a_field_that_there_is_not(name: str) -> None:
    with pytest.raises(Exception, match=r"head_start_ray_comands"):
        validate_config(prepare_config(read(name) | {"head_start_ray_comands": []}))


SPOT = {
    "cluster.yaml": lambda node: node.get("InstanceMarketOptions", {}).get("MarketType") == "spot",
    "clusters/gcp.yaml": lambda node: node.get("scheduling", {}).get("provisioningModel") == "SPOT",
}


@pytest.mark.parametrize("name", CLOUDS)
def test_the_head_is_on_demand_and_every_worker_a_spot_gpu(name: str) -> None:
    config = read(name)
    nodes = config["available_node_types"]
    head = nodes.pop(config["head_node_type"])
    assert not SPOT[name](head["node_config"])
    assert head["resources"]["GPU"] == 0 and head["resources"][DRIVER] == 1
    for worker in nodes.values():
        assert SPOT[name](worker["node_config"]) and worker["resources"]["GPU"] > 0
        assert worker["min_workers"] > 0, "a search that finds no GPU trains on the head's CPUs"
        assert DRIVER not in worker["resources"]


def test_of_own_machines_only_the_head_holds_drivers() -> None:
    config = read("clusters/local.yaml")
    assert f"--resources='{{\"{DRIVER}\": 1}}'" in config["head_start_ray_commands"][-1]
    assert DRIVER not in config["worker_start_ray_commands"][-1]


@pytest.mark.parametrize("name", LAUNCHED)
def test_every_node_asks_for_the_token_and_has_it(name: str) -> None:
    config = read(name)
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]


@pytest.mark.parametrize("name", LAUNCHED)
def test_images_and_packages_are_the_pinned_ones(name: str) -> None:
    config = read(name)
    for image in (config["docker"]["head_image"], config["docker"]["worker_image"]):
        assert image.startswith(f"rayproject/ray:{pinned()}-py311")
    assert any("-c constraints.txt -e ." in command for command in config["setup_commands"])


def test_kuberay_has_every_required_field(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == (KUBERAY["apiVersion"], "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    parts = {
        "RayJobSpec": [job["spec"]],
        "RayClusterSpec": [cluster],
        "HeadGroupSpec": [cluster["headGroupSpec"]],
        "WorkerGroupSpec": cluster["workerGroupSpecs"],
        "AuthOptions": [cluster["authOptions"]],
    }
    for kind, found in parts.items():
        fields = KUBERAY["fields"][kind]
        for part in found:
            assert set(fields["required"]) <= set(part), kind
            assert set(part) <= {*fields["required"], *fields["optional"]}, kind


def test_kuberay_takes_its_modes(job: dict[str, Any]) -> None:
    assert job["spec"]["submissionMode"] in KUBERAY["enums"]["submissionMode"]
    assert job["spec"]["rayClusterSpec"]["authOptions"]["mode"] == "token"
    assert "token" in KUBERAY["enums"]["AuthMode"]
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned()
    environment = yaml.safe_load(job["spec"]["runtimeEnvYAML"])
    assert environment["env_vars"] == {
        "RAY_JOB_STOP_SIGNAL": "SIGINT",
        "RAY_JOB_STOP_WAIT_TIME_S": "120",
    }


def test_kuberay_keeps_the_head_off_spot_nodes_and_shares_storage(job: dict[str, Any]) -> None:
    head, gpu = pods(job)["head"], pods(job)["gpu"]
    assert head["nodeSelector"] != gpu["nodeSelector"] and "tolerations" not in head
    assert gpu["tolerations"]
    for pod in (head, gpu):
        (container,) = pod["containers"]
        assert re.search(rf":ray-{re.escape(pinned())}$", container["image"])
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert set(mounted) == {volume["name"] for volume in pod["volumes"]}
        assert f"--store {mounted['share']}/" in job["spec"]["entrypoint"]


def test_kuberay_keeps_drivers_on_the_head(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    given = json.loads(json.loads(cluster["headGroupSpec"]["rayStartParams"]["resources"]))
    assert given == {DRIVER: 1}
    assert all(g["minReplicas"] > 0 for g in cluster["workerGroupSpecs"])
    assert all("resources" not in g["rayStartParams"] for g in cluster["workerGroupSpecs"])
