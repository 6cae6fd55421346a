"""Ray: connecting to a cluster or starting one here, and what fits on it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from trainables.pool import Workers
from training.errors import UserError

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


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to the cluster at `address`, or start Ray here and stop it at the end."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    mine = not ray.is_initialized()
    try:
        if mine and address is None:
            ray.init(address="local", include_dashboard=True, **options)
        elif mine:
            ray.init(address=address, runtime_env={"env_vars": _ENVIRONMENT}, **options)
    except (ConnectionError, ValueError) as error:
        raise UserError(f"--address {address}: {str(error).splitlines()[0]}") from None
    try:
        yield
    finally:
        if mine:
            ray.shutdown()


def num_slots(workers: Workers, wanted: int | None) -> int:
    """Return how many worker groups fit on the cluster at once, at most `wanted`.

    Raises `UserError` where not even one fits: Ray would wait for ever.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fitting = sum(_fitting(node, workers) for node in nodes)
    slots = fitting // workers.num_workers
    if not slots:
        raise UserError(
            f"a trial needs {workers.num_workers} x ({workers.cpus_per_worker:g} CPU, "
            f"{workers.gpus_per_worker:g} GPU), but the cluster has room for {fitting} of these; "
            "lower --workers-per-trial, --cpus-per-worker or --gpus-per-trial"
        )
    return min(slots, wanted or slots)


def has_gpus() -> bool:
    """Tell whether any node of the cluster has a GPU."""
    return any(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])


def _fitting(resources: dict[str, float], workers: Workers) -> int:
    """Return how many workers fit on one node."""
    fits = int(resources.get("CPU", 0) / workers.cpus_per_worker + 1e-9)
    if workers.gpus_per_worker:
        fits = min(fits, int(resources.get("GPU", 0) / workers.gpus_per_worker + 1e-9))
    return fits
