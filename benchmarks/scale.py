"""How a search grows: 10,000 trials of 20 segments of a task that trains nothing.

    python -m benchmarks.scale [--tiny]

In one process, on the loop of `_loop.py`: `ScheduleSearcher` over Optuna (random sampler, in
memory), Ray's ASHA, the bookkeeper with table, journal and a quiet view, and a real local store
with a record for each distinct segment. 16 slots; all values of a depth are equal, so that ASHA
stops nobody and every trial has 20 segments. What a call costs at n trials is the median of the
last 100 calls before the n-th trial ends.

- `decision_ms`: one `suggest` that starts a trial (`_p90`: nine in ten are faster), without
  Optuna's `ask` and `suggest_*`, which stand beside it as `optuna_ms`. Those grow with the study,
  see `ask_*_ms`: asking for one more trial after so many finished ones, for each sampler (one that
  needs more than 2 s is not tried on more), and `sqlite_*_ms`: the same, one report and one end on
  SQLite.
- `searcher_*`, `asha_*`, `books_*`: what each result, start and end of a trial costs there.
- `look_up_*_ms`: `Store.record` from the disk, for a key that is there and one that is not.
- `peak_mb`: the most memory that the process ever held, imports and all;
  `all_records_mb`: what it takes on top to hold every record, as after a resume of all of it.

Not in the loop: Tune's own controller, actors and files. `tune_kb_per_trial` and `tune_s_per_trial`
are a trial's whole share of a real driver, from the second half of 600 real trials through
`thaw.running`, all replayed from a store on two slots; `driver_mb_at_most` is a straight line
through that to 10,000, not a measurement. `driver_anonymous_mb` is that without the pages of
libraries, which the kernel maps more or fewer of at once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import optuna
from rich.console import Console
from rich.table import Table

from benchmarks._growth import grow
from benchmarks._memory import peak_mb
from benchmarks._optuna_cost import sampler_ms, sqlite_ms
from benchmarks._report import report
from benchmarks._tune_memory import tune_cost
from thaw.sampling import GRID, SAMPLERS
from training.store import Store

_SIZES = (100, 1_000, 10_000)
_TINY = (20, 40)
_TUNE_TRIALS = 600
_TARGETS = {
    "decision_ms": ("<=", 10.0),
    "look_up_found_ms": ("<=", 1.0),
    "look_up_absent_ms": ("<=", 1.0),
    "peak_mb": ("<=", 1500.0),
    "driver_mb_at_most": ("<=", 1500.0),
}


def measure_growth(sizes: tuple[int, ...]) -> dict[int, dict[str, float]]:
    """Return size -> figures of the driver, and at the largest what all its records take."""
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name:
        folder = Path(name)
        began_s = time.perf_counter()
        found = grow(sizes, lambda number: optuna.samplers.RandomSampler(seed=number), folder)
        found[max(sizes)]["wall_s"] = time.perf_counter() - began_s
        before_mb, store = peak_mb(), Store(str(folder / "store"))
        store.records(entry.key for entry in store.entries())
        found[max(sizes)]["all_records_mb"] = peak_mb() - before_mb
    return found


def measure_optuna(sizes: tuple[int, ...]) -> dict[int, dict[str, float]]:
    """Return size -> what Optuna itself takes, by sampler and on SQLite."""
    found: dict[int, dict[str, float]] = {size: {} for size in sizes}
    for name in SAMPLERS:
        for size, spent_ms in sampler_ms(name, sizes).items() if name != GRID else ():
            found[size][f"ask_{name}_ms"] = spent_ms
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as folder:
        for size in sizes:
            found[size] |= sqlite_ms(size, Path(folder))
    return found


def measure_tune() -> dict[str, float]:
    """Return what a trial costs Ray Tune, in a process of its own: this one's peak is behind it."""
    fresh = get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="thaw-bench-") as name,
        ProcessPoolExecutor(1, mp_context=fresh) as process,
    ):
        return process.submit(tune_cost, _TUNE_TRIALS, Path(name), max(_SIZES)).result()


def show(found: Mapping[int, Mapping[str, float]]) -> None:
    """Print what each figure is at each size."""
    table = Table("", *(f"{size:,} trials" for size in found), title="growth", title_justify="left")
    for name in dict.fromkeys(name for figures in found.values() for name in figures):
        cells = (found[size].get(name) for size in found)
        table.add_row(name, *("" if cell is None else f"{cell:.4g}" for cell in cells))
    Console().print(table)


def main() -> None:
    """Measure everything and report the figures at the largest size."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="40 trials, and no Ray")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sizes = _TINY if arguments.tiny else _SIZES
    imports_mb = peak_mb()
    found = measure_growth(sizes)
    for size, figures in measure_optuna(sizes).items():
        found[size].update(figures)
    show(found)
    figures = {**found[max(sizes)], "imports_mb": imports_mb}
    if not arguments.tiny:
        figures |= measure_tune()
    report("scale", figures, _TARGETS)


if __name__ == "__main__":
    main()
