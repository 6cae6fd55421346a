"""Many slots on nodes that come and go: does everything end, and does anything leak?

    python -m benchmarks.soak [--tiny] [--minutes 10] [--every 30]

A head and four nodes with four logical GPUs each on this machine, with a token; `thaw search` with
64 trials of a task that needs nothing but time on 16 slots, from a process of its own. Every 30 s a
node chosen at random is killed and another one comes, for ten minutes or until the search ends.
Then:

- `not_ended`: trials that did not finish;
- `groups_left`: placement groups that are not removed when the search is over, while its cluster is
  still up; `processes_left`: processes that are there after the cluster was stopped; `files_left`:
  unfinished writes and leases in the store, and folders of workers that nobody uses any more;
- `driver_mb_*`: memory of the driver (resident, MB) when an eighth of the trials had ended, and at
  the end;
- `incidents`: workers that were lost while their slots lived, and `tried_again`: trials that lost
  their slots, both as the search logged them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks._cluster import Machines, processes, start_search, use_token
from benchmarks._report import report
from benchmarks._small_system import PACE
from training.store import Store

_SYSTEM = Path(__file__).with_name("_small_system.py")
_PATIENCE_S = 1800.0
_LOOK_S = 1.0
_GONE_S = 20.0


def ended(folder: Path) -> int:
    """Return how many trials have finished."""
    try:
        with (folder / "out" / "trials.csv").open(newline="", encoding="utf-8") as file:
            return sum(row["status"] == "finished" for row in csv.DictReader(file))
    except (OSError, KeyError):
        return 0


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def groups_left(address: str) -> int:
    """Return how many placement groups of the cluster are not removed."""
    code = (
        "import json, ray; from ray.util.placement_group import placement_group_table as table\n"
        f"ray.init({address!r}, logging_level='ERROR')\n"
        "print(json.dumps(sum(g['state'] != 'REMOVED' for g in table().values())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, check=True, timeout=120
    )
    return int(json.loads(done.stdout.splitlines()[-1]))


def soak(
    folder: Path, *, trials: int, nodes: int, minutes: float, every_s: float
) -> dict[str, float]:
    """Run one search while nodes are lost; return the figures."""
    (folder / PACE).write_text("8" if minutes > 1 else "0.5")
    before = set(Path(tempfile.gettempdir()).glob("thaw-train-*"))
    chosen, lost, early_mb, late_mb = random.Random(0), 0, 0.0, 0.0
    machines = Machines(folder, workers=nodes, cpus=4, gpus=4)
    try:
        process = start_search(
            folder,
            machines.address,
            *(str(_SYSTEM), "--trials", str(trials), "--scheduler", "none", "--sampler", "random"),
            *("--gpus-per-trial", "1", "--device", "cpu"),
            *("--out", str(folder / "out"), "--store", str(folder / "store")),
        )
        start = time.monotonic()
        next_s = start + every_s
        while process.poll() is None:
            now = time.monotonic()
            if now - start > _PATIENCE_S:
                process.kill()
                break
            late_mb = resident_mb(process.pid) or late_mb  # 0 where it has just ended
            if not early_mb and ended(folder) >= trials / 8:
                early_mb = late_mb
            if next_s < now < start + 60 * minutes:
                machines.lose(chosen.choice(machines.nodes))
                machines.add()
                lost, next_s = lost + 1, next_s + every_s
            time.sleep(_LOOK_S)
        wall_s = time.monotonic() - start
        time.sleep(_GONE_S)
        groups = groups_left(machines.address)
    finally:
        machines.stop()
    log = (folder / "out" / "search.log").read_text(encoding="utf-8").splitlines()
    events = Counter(json.loads(line)["event"] for line in log)
    left = set(Path(tempfile.gettempdir()).glob("thaw-train-*")) - before
    return {
        "trials": trials,
        "ended": ended(folder),
        "nodes_lost": lost,
        "incidents": events["incident"],
        "tried_again": events["trial is tried again"],
        "wall_s": wall_s,
        "groups_left": groups,
        "processes_left": len(processes(folder)),
        "files_left": len(left) + len(Store(str(folder / "store")).litter()),
        "driver_mb_early": early_mb,
        "driver_mb_end": late_mb,
        "not_ended": trials - ended(folder),
    }


def main() -> None:
    """Run it and report."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="2 trials on 1 node, none is lost")
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long nodes are lost")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two losses")
    arguments = parser.parse_args()
    use_token()
    trials, nodes, minutes = (2, 1, 0.0) if arguments.tiny else (64, 4, arguments.minutes)
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name:
        figures = soak(
            Path(name), trials=trials, nodes=nodes, minutes=minutes, every_s=arguments.every
        )
    goals = dict.fromkeys(("not_ended", "groups_left", "processes_left", "files_left"), ("<=", 0.0))
    report("soak", figures, goals)


if __name__ == "__main__":
    main()
