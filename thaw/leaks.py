"""Placement groups that nobody works in and nobody will: found, and freed.

When a slot dies while its workers are starting, what was reserved for them stays reserved until
the driver ends, and the next slot waits for it, silently. Ray Train cleans up after controllers
that die later than that, and gives up a start after a minute: a reservation for workers in which
no actor lives for much longer belongs to nobody.

When a driver is killed, Ray frees what its job had reserved, but not always: such a reservation
stays for as long as the cluster, and a search that goes on there waits for it as silently.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray._private.state import state as ray_state
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group
from ray.util.state import list_actors, list_placement_groups
from ray.util.state.exception import RayStateApiException

LEAKED_AFTER_S = 150.0
"""Seconds without an actor; Ray Train waits at most 60 for a start, and then removes the group."""
_LOOK_EVERY_S = 15.0
_STATE_API_S = 10
_LIVE = ("PENDING", "CREATED", "RESCHEDULING")
_MAX_LISTED = 10_000
_log = logging.getLogger(__name__)


class Leaks:
    """What is known of the reservations for workers: since when each has nobody in it."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._empty_since: dict[str, float] = {}

    def found(
        self, groups: Mapping[str, Mapping[str, Any]], occupied: frozenset[str], now_s: float
    ) -> list[str]:
        """Return the ids of `groups` that leaked.

        `groups` is Ray's table, of this job alone; `occupied` are the ids of those with an actor.
        """
        empty = [
            name
            for name, group in groups.items()
            if group["state"] in _LIVE and _for_workers(group) and name not in occupied
        ]
        self._empty_since = {name: self._empty_since.get(name, now_s) for name in empty}
        return [name for name, since in self._empty_since.items() if now_s - since > LEAKED_AFTER_S]


class Sweeper:
    """A thread that frees what leaked, from `start` to `stop`."""

    def __init__(self) -> None:
        """Sweep nothing yet."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        self._job = ray.get_runtime_context().get_job_id()

    def start(self) -> None:
        """Begin to look, every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._stopped.set()
        self._thread.join()

    def _sweep(self) -> None:
        leaks = Leaks()
        while True:
            try:
                for name in _leaked(leaks, self._job):
                    remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(name)))
                    _log.warning("freed placement group %s, in which nobody was left", name)
            except (RayStateApiException, ConnectionError, ray.exceptions.RayError) as error:
                _log.info("could not look for leaked placement groups: %s", error)
            if self._stopped.wait(_LOOK_EVERY_S):
                return


def _leaked(leaks: Leaks, job: str) -> list[str]:
    """Return the ids of what leaked in this job, and of what dead jobs left behind."""
    table = placement_group_table()
    groups, abandoned = _of_job(table, job), _of_dead_jobs(table)
    if not groups and not abandoned:
        return []
    occupied = _occupied()
    left = [name for name in abandoned if name not in occupied]
    if occupied.isdisjoint(groups):
        return left  # slots are in some of them: what does not know that is no answer
    return left + leaks.found(groups, occupied, time.monotonic())


def _of_job(table: Mapping[str, Any], job: str) -> dict[str, Any]:
    """Return the groups of a job: their ids end with its id."""
    return {name: group for name, group in table.items() if name.endswith(job)}


def _of_dead_jobs(table: Mapping[str, Any]) -> list[str]:
    """Return the ids of what jobs that are over left, but the detached, which are to stay."""
    dead = [job["JobID"] for job in ray_state.job_table() if job["IsDead"]]  # no public way
    found = [
        name
        for job in dead
        for name, group in _of_job(table, job).items()
        if group["state"] in _LIVE
    ]
    if not found:
        return []
    groups = list_placement_groups(detail=True, limit=_MAX_LISTED, timeout=_STATE_API_S)
    detached = {group.placement_group_id for group in groups if group.is_detached}
    return [name for name in found if name not in detached]


def _for_workers(group: Mapping[str, Any]) -> bool:
    """Tell the reservations for workers from those for slots, which take no CPU."""
    return all("CPU" in bundle or "GPU" in bundle for bundle in group["bundles"].values())


def _occupied() -> frozenset[str]:
    actors = list_actors(
        detail=True,
        limit=_MAX_LISTED,
        timeout=_STATE_API_S,
        filters=[("state", "!=", "DEAD")],
        raise_on_missing_output=False,
    )
    return frozenset(str(actor.placement_group_id) for actor in actors if actor.placement_group_id)
