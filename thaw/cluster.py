"""Ray: connecting to a cluster or starting one here, and what fits on it."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import AuthenticationError
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

from thaw.options import Options, absolute
from trainables.pool import Workers
from training.device_share import DEVICE_CACHE
from training.errors import UserError
from training.files import STORE
from training.hidden import whole
from training.settings import Place
from training.trouble import PATIENCE

_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Dead workers are noticed within half a second; Tune prints nothing of its own; nothing is
sent to Ray's makers."""

_TOLD = (PATIENCE, DEVICE_CACHE)
"""What is passed on from the environment of whoever searches."""
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""In the environment of a job's driver: its configuration, as Ray wrote it."""
DRIVER = "driver"
"""Custom resource of the nodes on which the actors of slots run; 1 is enough for 1,000 slots."""
_DRIVER_SHARE = 0.001
_SLOT_MEMORY_BYTES = 400 * 2**20
_STATE_API_S = 30.0
_CONNECT_S = 5.0
_LOOPBACK = "127.0.0.1"


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to the cluster at `address`, or start Ray here and stop it at the end."""
    if address is not None:
        _check_reachable(address)
    if ray.is_initialized():
        yield
        return
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _own_address() if address is None else nullcontext():
        try:
            if address is None:
                ray.init(address="local", include_dashboard=True, **options)
                _keep_token_private()
            else:
                ray.init(address=address, runtime_env={"env_vars": _environment()}, **options)
        except (ConnectionError, ValueError, AuthenticationError) as error:
            raise UserError(f"--address {address}: {str(error).splitlines()[0]}") from None
        # Whoever asks for the State API finds this cluster, and no other one on the machine.
        found = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
        try:
            with _in_environment(found):
                _check_state_api()
                yield
        finally:
            ray.shutdown()


@contextmanager
def _in_environment(named: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, and put back what they were."""
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _environment() -> dict[str, str]:
    """Return what every process of the search finds in its environment, less what a job has set.

    Within `ray job submit` Ray adds up both environments, and refuses a name that is in both.
    """
    job = json.loads(os.environ.get(_JOB, "{}")).get("runtime_env") or {}
    told = {name: os.environ[name] for name in _TOLD if name in os.environ}
    wanted = _ENVIRONMENT | told
    return {name: wanted[name] for name in wanted if name not in job.get("env_vars", {})}


def _keep_token_private() -> None:
    """Let nobody else read the token that Ray writes when it first needs one."""
    token = Path.home() / ".ray" / "auth_token"
    with suppress(OSError):
        token.chmod(0o600)


def _check_reachable(address: str) -> None:
    """Raise `UserError` where nobody listens at host:port: Ray itself would try for minutes."""
    found = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=_CONNECT_S).close()
    except OSError as error:
        raise UserError(f"--address {address}: no Ray cluster answers there ({error})") from None


@contextmanager
def _own_address() -> Iterator[None]:
    """Fix the address of the cluster that is about to start, and tell its processes by name.

    Ray Train frees what a dead slot held by way of the State API, which does not find its own
    cluster where several run on one machine and nobody says which. The address is the loopback's,
    so that all of Ray's servers listen there only: Ray has no setting for that on Linux but the
    one by which it keeps to one machine elsewhere.
    """
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port = str(probe.getsockname()[1])
    named = {
        "RAY_GCS_SERVER_PORT": port,
        "RAY_ADDRESS": f"{_LOOPBACK}:{port}",
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",  # for its processes; for this one below
    }
    clustered = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with _in_environment(named):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clustered


def _check_state_api() -> None:
    """Raise `UserError` where the State API does not answer: lost slots would never be freed."""
    end = time.monotonic() + _STATE_API_S
    while True:
        try:
            list_nodes(limit=1, timeout=5)
            return
        except (RayStateApiException, ray.exceptions.RpcError, OSError) as error:
            if time.monotonic() > end:
                raise UserError(
                    f"Ray's State API does not answer ({error}); install ray[default] and start "
                    "the head node with its dashboard"
                ) from None
            time.sleep(0.5)


def num_slots(workers: Workers, wanted: int | None) -> int:
    """Return how many worker groups fit on the cluster at once, at most `wanted`.

    Raises `UserError` where not even one fits: Ray would wait for ever.
    """
    nodes = [
        node["Resources"]
        for node in ray.nodes()
        if node["Alive"] and workers.labels.items() <= node["Labels"].items()
    ]
    fitting = sum(_fitting(node, workers) for node in nodes)
    slots = fitting // workers.num_workers
    if not slots:
        where = "".join(f" with label {key}={value}" for key, value in workers.labels.items())
        raise UserError(
            f"a trial needs {workers.num_workers} x ({workers.cpus_per_worker:g} CPU, "
            f"{workers.gpus_per_worker:g} GPU){where}, but the cluster has room for {fitting} of "
            "these; lower --workers-per-trial, --cpus-per-worker or --gpus-per-trial"
        )
    return min(slots, wanted or slots)


def slot_resources(cluster: Mapping[str, float]) -> dict[str, float]:
    """Return what the actor of a slot asks for, beside what its workers do; it computes nothing.

    Where the cluster has the resource `driver`, which its head has in `cluster.yaml`, the actor
    stays on a node that has it: a spot node that is taken away takes no search with it.
    """
    resources: dict[str, float] = {"memory": _SLOT_MEMORY_BYTES}
    return resources | ({DRIVER: _DRIVER_SHARE} if cluster.get(DRIVER) else {})


def workers_of(options: Options) -> Workers:
    """Return what a slot consists of; by default one GPU for each worker where there are any."""
    gpus = options.gpus_per_trial
    if gpus is None:
        gpus = float(options.workers_per_trial) if has_gpus() else 0.0
    return Workers(
        store=whole(absolute(options.store), STORE, "--store"),
        num_workers=options.workers_per_trial,
        cpus_per_worker=options.cpus_per_worker,
        gpus_per_worker=gpus / options.workers_per_trial,
        labels=options.worker_labels,
        on_cpu=options.device == "cpu",
        hang_after_s=options.hang_after_s,
    )


def place_of(workers: Workers, device: str | None) -> Place:
    """Return where a slot trains, which is part of the settings."""
    return Place(
        device=device or ("cuda" if workers.gpus_per_worker else "cpu"),
        world_size=workers.num_workers,
        num_threads=max(1, int(workers.cpus_per_worker)),
    )


def has_gpus() -> bool:
    """Tell whether any node of the cluster has a GPU."""
    return any(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])


def _fitting(resources: dict[str, float], workers: Workers) -> int:
    """Return how many workers fit on one node."""
    fits = int(resources.get("CPU", 0) / workers.cpus_per_worker + 1e-9)
    if workers.gpus_per_worker:
        fits = min(fits, int(resources.get("GPU", 0) / workers.gpus_per_worker + 1e-9))
    return fits
