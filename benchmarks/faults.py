"""What faults cost: each is injected again and again while a search goes on, on several nodes.

    python -m benchmarks.faults [--tiny] [--times 20] [--only KIND] [--write]

A head without slots and two worker nodes on this machine, with a token; `thaw search` on them from
a process of its own, one slot, 16 trials of the embedded digits without a scheduler. A fault comes
when the slot has trained a segment since the last one and is in the middle of the next. Then:

- `lost`: trials whose row in the end differs from that of a search that was left alone, and
  segments that were told to be trained and have no whole record in the store;
- `twice`: segments that were trained to their end more often than once, over all injections (a
  segment under way when the fault comes begins again, and counts once);
- `recover`: seconds from the fault to the end of a segment that was not yet evaluated when it came,
  less the 0.5 s that one takes here (what is under way may end by itself, where only its slot was
  lost): for a hang or a frozen process with the 10 s after which it is called one (600 s by
  default, and while other faults are injected), for a node that is taken back with the rest of the
  segment, for a lost driver or head with the start of the next one.

A kind that cannot be measured is named with the end of its log, and the others go on. `--write`
puts the rows into `docs/faults.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks._cluster import Machines, kill, pids, start_search, use_token, wait_for
from benchmarks._faulty_system import ENDED, HANG, PACE
from benchmarks._report import report
from training.store import Store

_SYSTEM = Path(__file__).with_name("_faulty_system.py")
_PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
_WORKER = "ray::RayTrainWorker"
_SLOTS = ("ray::ResourceTrainable", "ray::Slot")
_SEGMENT_S = 0.5
_PATIENCE_S = 240.0
_NOTICE_S = 30.0
_NOTICED_S = "10"
_LOG_LINES = 25


@dataclass
class Scene:
    """A search that goes on, the cluster under it, and what was measured."""

    folder: Path
    trials: int
    options: tuple[str, ...] = ()
    """More options of `thaw search`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    machines: Machines = field(init=False)
    search: subprocess.Popen[str] | None = None
    recovered_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the cluster."""
        self.folder.mkdir()
        (self.folder / PACE).write_text(str(_SEGMENT_S))
        self.up()

    def up(self) -> None:
        """Start a cluster."""
        self.machines = Machines(self.folder, workers=2, cpus=1)

    def begin(self) -> None:
        """Start the search, or go on with it."""
        out = self.folder / "out"
        first = [
            *(str(_SYSTEM), "--trials", str(self.trials), "--out", str(out)),
            *("--store", str(self.folder / "store"), "--scheduler", "none", "--sampler", "random"),
            *("--max-concurrent", "1", *self.options),
        ]
        arguments = ["--resume", str(out)] if (out / "search.json").exists() else first
        self.search = start_search(
            self.folder, self.machines.address, *arguments, environment=self.environment
        )

    def ended(self) -> list[float]:
        """Return when the evaluation of each segment began that came to its end."""
        path = self.folder / ENDED
        return [float(line) for line in path.read_text().splitlines()] if path.exists() else []

    def next_segment(self, since_s: float) -> None:
        """Wait for the end of a segment that is evaluated since then, in seconds since 1970.

        Raise where there is none, or no search any more.
        """

        def there() -> bool:
            if self.search is not None and self.search.poll() is not None:
                raise RuntimeError(f"the search ended early: {self.folder}/search.log")
            return any(began_s > since_s for began_s in self.ended()[-1:])

        wait_for(there, _PATIENCE_S, f"a segment: {self.folder}/search.log")

    def inject(self, fault: Callable[[Scene], None]) -> None:
        """Do it in the middle of a segment, and measure until the next one ends."""
        self.next_segment(time.time())
        time.sleep(_SEGMENT_S / 2)
        started_s = time.time()
        fault(self)
        self.next_segment(started_s)
        self.recovered_s.append(max(0.0, time.time() - started_s - _SEGMENT_S))

    def finish(self) -> None:
        """Let the search come to its end, and stop the cluster."""
        (self.folder / PACE).unlink(missing_ok=True)
        assert self.search is not None
        try:
            if self.search.wait(_PATIENCE_S) != 0:
                raise RuntimeError(f"the search failed: {self.folder}/search.log")
        finally:
            self.machines.stop()

    def rows(self) -> dict[str, tuple[str, ...]]:
        """Return what each trial came to."""
        with (self.folder / "out" / "trials.csv").open(newline="", encoding="utf-8") as file:
            columns = (
                "status",
                "best_val_accuracy",
                "last_val_accuracy",
                "epochs",
                "lr",
                "head_lr",
            )
            return {r["trial"]: tuple(r[c] for c in columns) for r in csv.DictReader(file)}

    def twice(self) -> int:
        """Return how many segments came to their end although they had done so before."""
        store = Store(str(self.folder / "store"))
        return len(self.ended()) - sum(1 for entry in store.entries() if entry.record_bytes)

    def damaged(self) -> int:
        """Return how many segments that the search was told of are not whole in the store."""
        store = Store(str(self.folder / "store"))
        keys = {
            line.split()[1]
            for line in (self.folder / "out" / "segments.txt").read_text().splitlines()
            if line.strip()
        }
        return sum(store.record(key) is None or store.state(key) is None for key in keys)


def _worker_of(scene: Scene) -> int:
    wait_for(lambda: pids(scene.folder, _WORKER), _PATIENCE_S, "a training worker")
    return pids(scene.folder, _WORKER)[0]


def kill_worker(scene: Scene) -> None:
    """SIGKILL the training process."""
    kill(_worker_of(scene))


def freeze_worker(scene: Scene) -> None:
    """SIGSTOP the training process: it lives, and answers nobody."""
    os.kill(_worker_of(scene), signal.SIGSTOP)


def hang_worker(scene: Scene) -> None:
    """Let the next evaluation wait for ever."""
    (scene.folder / HANG).touch()


def kill_slot(scene: Scene) -> None:
    """SIGKILL the actor that walks the trial, whatever Ray calls its process at the moment."""
    found = [pid for title in _SLOTS for pid in pids(scene.folder, title)]
    if not found:
        raise RuntimeError("there is no slot to kill")
    for pid in found:
        kill(pid)


def kill_controller(scene: Scene) -> None:
    """SIGKILL Ray Train's controller, which alone knows what it reserved."""
    found = pids(scene.folder, "ray::TrainController")
    if not found:
        raise RuntimeError("there is no controller to kill")
    for pid in found:
        kill(pid)


def lose_node(scene: Scene) -> None:
    """Kill the node that trains; another one comes."""
    node = scene.machines.node_of(_worker_of(scene)) or scene.machines.nodes[0]
    scene.machines.lose(node)
    scene.machines.add()


def take_back_node(scene: Scene) -> None:
    """Give notice, kill the node when the slot has left it or time is over; another one comes."""
    node = scene.machines.node_of(_worker_of(scene)) or scene.machines.nodes[0]
    scene.machines.add()
    scene.machines.drain(node, _NOTICE_S)

    def left() -> bool:
        return all(scene.machines.node_of(p) is not node for p in pids(scene.folder, _WORKER))

    with contextlib.suppress(TimeoutError):
        wait_for(left, _NOTICE_S, "the slot leaves")
    scene.machines.lose(node)


def kill_driver(scene: Scene) -> None:
    """SIGKILL `thaw search`, and go on with --resume."""
    assert scene.search is not None
    scene.search.kill()
    scene.search.wait()
    scene.begin()


def lose_head(scene: Scene) -> None:
    """Kill every node and the driver, start a new cluster, go on with --resume."""
    assert scene.search is not None
    scene.search.kill()
    scene.search.wait()
    scene.machines.stop()
    scene.up()
    scene.begin()


FAULTS: dict[str, Callable[[Scene], None]] = {
    "worker killed": kill_worker,
    "worker hangs": hang_worker,
    "worker frozen": freeze_worker,
    "slot killed": kill_slot,
    "controller killed": kill_controller,
    "node lost": lose_node,
    "node taken back, with notice": take_back_node,
    "driver killed": kill_driver,
    "head lost": lose_head,
}
_OPTIONS = {"worker hangs": ("--hang-after", _NOTICED_S)}
_ENVIRONMENTS = {"worker frozen": {"RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": _NOTICED_S}}
_TINY = ("worker killed",)


@dataclass(frozen=True)
class Outcome:
    """What one kind of fault did."""

    times: int
    lost: int
    twice: int
    recovered_s: list[float]


def measure(kind: str, times: int, trials: int, calm: Scene, folder: Path) -> Outcome:
    """Inject one kind of fault `times` times into a search, and let it end."""
    scene = Scene(folder, trials, _OPTIONS.get(kind, ()), _ENVIRONMENTS.get(kind, {}))
    try:
        scene.begin()
        for _ in range(times):
            scene.inject(FAULTS[kind])
        scene.finish()
    except BaseException:
        scene.machines.stop()
        raise
    differing = sum(scene.rows().get(name) != row for name, row in calm.rows().items())
    return Outcome(times, differing + scene.damaged(), scene.twice(), scene.recovered_s)


_HEADER = ["fault", "injected", "results lost", "trained twice", "seconds to recover", "most"]


def table(found: Mapping[str, Outcome]) -> dict[str, list[str]]:
    """Return kind -> its row."""
    rows = {}
    for kind, outcome in found.items():
        median, most = statistics.median(outcome.recovered_s), max(outcome.recovered_s)
        counts = (outcome.times, outcome.lost, outcome.twice)
        rows[kind] = [kind, *map(str, counts), f"{median:.1f}", f"{most:.1f}"]
    return rows


def write_page(rows: Mapping[str, list[str]]) -> None:
    """Put rows between the two marks of `docs/faults.md`; those of other kinds stay."""
    before, _, rest = _PAGE.read_text(encoding="utf-8").partition("<!-- table -->\n")
    old, _, after = rest.partition("<!-- end -->")
    lines = {line.split("|")[1].strip(): line for line in old.splitlines()[2:]}
    lines |= {kind: _line(row) for kind, row in rows.items()}
    text = [_line(_HEADER), "|---|" + "---:|" * (len(_HEADER) - 1)]
    text += [lines[kind] for kind in FAULTS if kind in lines]
    page = before + "<!-- table -->\n" + "\n".join(text) + "\n<!-- end -->" + after
    _PAGE.write_text(page, encoding="utf-8")


def _line(row: Sequence[str]) -> str:
    return "| " + " | ".join(row) + " |"


def _failure(kind: str, error: Exception, folder: Path) -> str:
    """Return why a kind could not be measured, with the end of the search's log."""
    log = (folder / "search.log").read_text(encoding="utf-8").splitlines()[-_LOG_LINES:]
    return "\n".join([f"{kind}: not measured: {error}", *log])


def main() -> None:
    """Measure every kind, print the table."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="one fault of one kind")
    parser.add_argument("--times", type=int, default=20, help="injections of each kind")
    parser.add_argument("--only", choices=FAULTS, action="append", help="only this kind")
    parser.add_argument("--write", action="store_true", help="write the table to docs/faults.md")
    arguments = parser.parse_args()
    times, trials = (1, 2) if arguments.tiny else (arguments.times, 16)
    kinds = _TINY if arguments.tiny else tuple(arguments.only or FAULTS)
    use_token()
    found: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name:
        calm = Scene(Path(name) / "calm", trials)
        calm.begin()
        calm.finish()
        for number, kind in enumerate(kinds):
            place = Path(name) / f"fault{number}"
            try:
                found[kind] = measure(kind, times, trials, calm, place)
            except (RuntimeError, TimeoutError) as error:
                print(_failure(kind, error, place), flush=True)
                continue
            print(f"{kind}: {found[kind]}", flush=True)
            if arguments.write:
                write_page(table({kind: found[kind]}))
    shown = Table(*_HEADER, title="faults", title_justify="left")
    for row in table(found).values():
        shown.add_row(*row)
    Console().print(shown)
    figures = {
        "kinds": float(len(found)),
        "not_measured": float(len(kinds) - len(found)),
        "injected_least": float(min((outcome.times for outcome in found.values()), default=0)),
        "results_lost": float(sum(outcome.lost for outcome in found.values())),
        "trained_twice": float(sum(outcome.twice for outcome in found.values())),
        "recover_s_worst_median": max(
            (statistics.median(o.recovered_s) for o in found.values()), default=0.0
        ),
    }
    report("faults", figures, {"results_lost": ("<=", 0.0), "not_measured": ("<=", 0.0)})


if __name__ == "__main__":
    main()
