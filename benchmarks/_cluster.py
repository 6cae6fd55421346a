"""A Ray cluster of several nodes on this machine, whose parts can be killed one by one."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MARK = "THAW_FAULTS"
"""Environment variable that all processes of the cluster inherit; it names a folder."""
_NODE_TRIES = 3
_THAW = str(Path(sys.executable).with_name("thaw"))


def use_token() -> None:
    """Make this process and all that it starts ask for a new token; call it before Ray is there."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


class Machines:
    """A head without slots, and worker nodes; each node is a raylet with its own processes."""

    def __init__(self, folder: Path, *, workers: int, cpus: int, gpus: int = 0) -> None:
        """Start the head and `workers` nodes of `cpus` and `gpus` each, which are logical."""
        os.environ[MARK] = str(folder)
        from ray._common.utils import get_default_ray_temp_dir
        from ray.cluster_utils import Cluster

        # Cluster writes its address there, and only a node without a folder of its own makes it.
        Path(get_default_ray_temp_dir()).mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._folders: list[str] = []
        self._node: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus}
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "resources": {"driver": 1},  # as in the project's cluster files
                "temp_dir": self._new_folder(),
                "include_dashboard": True,
                "dashboard_port": _free_port(),
                "dashboard_agent_listen_port": _free_port(),  # jobs go to it; others may run here
            },
        )
        self.address: str = self._cluster.address
        for _ in range(workers):
            self.add()

    @property
    def jobs_url(self) -> str:
        """Return where jobs are submitted."""
        return f"http://{self._cluster.webui_url}"

    @property
    def nodes(self) -> list[Any]:
        """Return the worker nodes that are up."""
        return list(self._cluster.worker_nodes)

    def add(self) -> None:
        """Start one more worker node; Ray gives up on one that is not there within 30 s."""
        for tries in range(1, _NODE_TRIES + 1):
            place = self._new_folder()
            try:
                self._cluster.add_node(**self._node, temp_dir=place)
                return
            except Exception:  # Ray raises no other class where the machine was too busy
                if tries == _NODE_TRIES:
                    raise
                for pid, _, line in processes(self.folder):
                    if place in line:
                        kill(pid)

    def lose(self, node: Any) -> None:
        """Kill all processes of a worker node, at once and without a word."""
        children = [pid for pid, parent, _ in processes(self.folder) if parent == raylet(node)]
        for process in list(node.all_processes.values()):
            for info in process:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(info.process.pid, signal.SIGKILL)
        for pid in children:
            kill(pid)
        self._cluster.remove_node(node, allow_graceful=False)

    def drain(self, node: Any, seconds: float) -> None:
        """Give notice that a node is to go, as a spot machine gets it."""
        from ray._raylet import GcsClient  # type: ignore[attr-defined]

        gcs: Any = GcsClient(address=self.address)
        accepted, why = gcs.drain_node(
            node.node_id,
            2,  # DRAIN_NODE_REASON_PREEMPTION
            "spot machine taken back",
            int((time.time() + seconds) * 1000),
        )
        if not accepted:
            raise RuntimeError(f"the notice was refused: {why}")

    def node_of(self, pid: int) -> Any:
        """Return the worker node that a process belongs to, None for the head's."""
        parents = {known: parent for known, parent, _ in processes(self.folder)}
        return next((node for node in self.nodes if raylet(node) == parents.get(pid)), None)

    def stop(self) -> None:
        """End everything."""
        self._cluster.shutdown()
        for pid, _, _ in processes(self.folder):
            if pid != os.getpid():
                kill(pid)
        for name in self._folders:
            shutil.rmtree(name, ignore_errors=True)

    def _new_folder(self) -> str:
        """Return a folder for one node: several in one write over each other's working folders."""
        self._folders.append(tempfile.mkdtemp(prefix="ray-"))  # short: it holds sockets
        return self._folders[-1]


def start_search(
    folder: Path, address: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start `thaw search` on a cluster, out of reach of Ctrl-C; `search.log` in `folder` grows.

    In this process's session: where the kernel shares the CPU out by session, a driver in one of
    its own gets as much as all of the cluster, or is starved by it.
    """
    with (folder / "search.log").open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [_THAW, "search", *arguments, "--address", address],
            env={**os.environ, **(environment or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def raylet(node: Any) -> int:
    """Return the process id of a node's raylet."""
    return int(node.all_processes["raylet"][0].process.pid)


def processes(folder: Path) -> list[tuple[int, int, str]]:
    """Return (pid, parent, command line) of the living processes that belong to `folder`."""
    mark = f"{MARK}={folder}\0".encode()
    found = []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            if mark not in (place / "environ").read_bytes() + b"\0":
                continue
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found.append((int(place.name), int(parent), line.strip()))
    return found


def pids(folder: Path, title: str) -> list[int]:
    """Return the processes whose title begins so, such as `ray::RayTrainWorker`."""
    return [pid for pid, _, line in processes(folder) if line.startswith(title)]


def kill(pid: int) -> None:
    """SIGKILL a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until `condition` holds; raise `TimeoutError` with `what` after so long."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)
