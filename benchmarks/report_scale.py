"""The diminishing-returns report of many runs: python -m benchmarks.report_scale [--tiny].

Makes runs of 100 evaluations, as one CSV file each and as Ray Tune folders, and has a process of
its own read, compute and write the report. What counts is its whole time, imports included, and
its peak memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks._memory import peak_mb
from benchmarks._report import report

NUM_POINTS = 100
SIZES = (100, 1_000, 10_000)
TINY = (20, 100)
MOST_S, MOST_MB = 60.0, 2_000.0
_STRATEGIES = ("plain", "weather", "fog", "night")


def curve(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return accuracies of one run: a power law with noise."""
    steps = np.arange(1, NUM_POINTS + 1)
    top, drop, speed = rng.uniform(0.6, 0.9), rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.9)
    values: npt.NDArray[np.float64] = top - drop * steps**-speed + rng.normal(0, 0.003, NUM_POINTS)
    return values.round(5)


def write_csv(folder: Path, number: int, values: npt.NDArray[np.float64]) -> None:
    """Write a run as a trainer of one's own would: one CSV file in a folder."""
    path = folder / f"{_STRATEGIES[number % 4]}/model{number % 3}/run{number}"
    path.mkdir(parents=True)
    rows = [f"{e},{1000 * e},{30 * e},{1 - v:.5f},{v}" for e, v in enumerate(values.tolist(), 1)]
    header = "epoch,step,wall_s,train_loss,val_accuracy"
    (path / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")


def write_tune(folder: Path, number: int, values: npt.NDArray[np.float64]) -> None:
    """Write a run as Ray Tune does: `result.json`, `progress.csv` and `params.json`."""
    trial = f"{number:08x}"
    path = folder / f"experiment/train_{trial}_{number}_lr=0.01_2026-01-01_00-00-00"
    path.mkdir(parents=True)
    params = {"lr": round(1e-4 * (1 + number % 50), 6), "strategy": _STRATEGIES[number % 4]}
    results = [
        {
            "val_accuracy": value,
            "train_loss": round(1 - value, 5),
            "training_iteration": epoch,
            "trial_id": trial,
            "timestamp": 1_767_225_600 + 30 * epoch,
            "time_this_iter_s": 30.0,
            "time_total_s": 30.0 * epoch,
            "done": epoch == NUM_POINTS,
            "pid": 4242,
            "hostname": "node",
            "config": params,
            "iterations_since_restore": epoch,
        }
        for epoch, value in enumerate(values.tolist(), 1)
    ]
    (path / "params.json").write_text(json.dumps(params))
    (path / "result.json").write_text("".join(f"{json.dumps(row)}\n" for row in results))
    names = [name for name in results[0] if name != "config"]
    rows = [",".join(str(row[name]) for name in names) for row in results]
    (path / "progress.csv").write_text("\n".join([",".join(names), *rows]) + "\n")


KINDS: dict[str, Callable[[Path, int, npt.NDArray[np.float64]], None]] = {
    "csv": write_csv,
    "tune": write_tune,
}


def child(logs: Path, out: Path) -> dict[str, float]:
    """Make the report in this process; return seconds of its parts and the peak memory."""
    start = time.perf_counter()
    from analysis.diminishing.options import Options
    from analysis.files import write_report
    from analysis.logs import read_logs
    from analysis.reports import REPORTS

    imported = time.perf_counter()
    found = read_logs([logs])
    read = time.perf_counter()
    document = REPORTS[0].make(found, Options(), date(2026, 1, 1))
    computed = time.perf_counter()
    write_report(document, out)
    written = time.perf_counter()
    return {
        "import_s": imported - start,
        "read_s": read - imported,
        "compute_s": computed - read,
        "write_s": written - computed,
        "cpu_s": time.process_time(),
        "peak_mb": peak_mb(),
        "num_runs": len(document.tables["runs"]),
        "num_complete": document.facts["num_runs"]["complete"],
        "html_mb": (out / "report.html").stat().st_size / 1e6,
    }


def measure(kind: str, num_runs: int) -> dict[str, float]:
    """Make `num_runs` runs, and have another process report on them."""
    with tempfile.TemporaryDirectory() as folder:
        rng, logs = np.random.default_rng(num_runs), Path(folder) / "logs"
        for number in range(num_runs):
            KINDS[kind](logs, number, curve(rng))
        command = [sys.executable, "-m", "benchmarks.report_scale", "--child", folder]
        start = time.perf_counter()
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        total_s = time.perf_counter() - start
    figures: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    if figures["num_runs"] != num_runs:
        raise RuntimeError(f"{kind}: {figures['num_runs']} runs were found, {num_runs} were made")
    parts = {name: f"{value:.3g}" for name, value in figures.items()}
    print(f"{kind}, {num_runs} runs: {total_s:.1f} s {parts}", flush=True)
    return {**figures, "total_s": total_s}


def main() -> None:
    """Measure all kinds and sizes, and report the largest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a few runs, in seconds")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(child(arguments.child / "logs", arguments.child / "out")))
        return
    sizes = TINY if arguments.tiny else SIZES
    figures: dict[str, float] = {}
    targets: dict[str, tuple[str, float]] = {}
    for kind in KINDS:
        found = {size: measure(kind, size) for size in sizes}
        small, large = found[sizes[0]], found[sizes[-1]]
        figures[f"{kind}_{sizes[0]}_runs_s"] = small["total_s"]
        figures[f"{kind}_{sizes[-1]}_runs_s"] = large["total_s"]
        more = (large["total_s"] - small["total_s"]) / (sizes[-1] - sizes[0])
        figures[f"{kind}_ms_for_each_more"] = 1000 * more
        figures[f"{kind}_{sizes[-1]}_runs_cpu_s"] = large["cpu_s"]
        figures[f"{kind}_peak_mb"] = large["peak_mb"]
        figures[f"{kind}_html_mb"] = large["html_mb"]
        targets[f"{kind}_{sizes[-1]}_runs_s"] = ("<=", MOST_S)
        targets[f"{kind}_peak_mb"] = ("<=", MOST_MB)
    report("report_scale", figures, targets)


if __name__ == "__main__":
    main()
