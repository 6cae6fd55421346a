"""Segments and time of the same trials: plain Ray Tune against thaw, and under halving.

    python -m benchmarks.shared_prefixes [--tiny] [--study NAME] [--trials 24] [--no-ray]

First, for each study, one fixed list of trials (the study's points and random ones) twice: through
the pattern of Ray's own guide (`_ray_pattern.py`), every trial from nothing, and through
`thaw.search` as it stands, from an empty store. Two trials at a time on both sides, one worker with
one CPU each, no early stopping, the same Ray instance, the same training code and a state written
after each segment. All metrics after the last segment of every trial must be identical. Four
numbers of segments: naive (every trial from nothing), careful (every trial from the checkpoint that
ends what all trials of the list have in common), what thaw trained, and the bound (distinct
segments of that list). Where several studies run, figures have the study's name in front; one
without it is the worst of them. Times are without the start of Ray; thaw goes first, so that files
are in the page cache for plain Ray.

Shrunk for `stage2_lr`: 12 drawn images for training and 4 for testing, of 64 px, in place of 256
and 64, so that an epoch has 3 steps (1 in stage 1); epochs, network, training sizes and batches are
those of the sample preset. Shrunk for `cyclic_lambda`: 8 drawn people with 4 images each in place
of 72 with 6; lengths, networks and batches are those of the sample preset. Shrunk for
`training_length`: a base length of 40 iterations in place of 80. Nothing is shrunk for the other
studies, which are on the embedded digits. How long a trial of `unfreeze_rule` is hangs on its
metrics; it is counted as it was trained. `planned_*` is 24 trials of the full preset, in segments
and by plan: as `thaw plan` draws them, which has some trials twice, and `planned_different_*` 24
different ones.

Without Ray, for `lr_sequence`, its grid under synchronous successive halving: each distinct segment
is trained once (on the digits; on two moons with --tiny), and the records say which of them halving
needs (`_halving.py`: a third goes on at each rung; rungs are the study's own, ties are broken at
random, figures are means over 20 such draws). `sh_*` is one grid with factors (0.3, 0.1),
`sh_two_*` two studies on one store: a user tries the grid again with harder second thoughts,
factors (0.3, 0.03). `*_ratio_naive` counts every trial from nothing including the stages before the
one that is searched, which all trials share; `*_ratio_careful` is against the careful user.
`*_ratio_last_stage` counts the searched stage alone: it is the one that the targets are for, as the
bounds 3.46 (one grid, in full) and 4.23 (two) count that stage alone too. `full_*` is the same
without halving.

Without Ray, `asha_*`: 64 trials of `unfreeze_timing`, or 24 of `stage2_lr`, under ASHA on both
sides, counted in segments. Ray's own ASHA decides on each side, with the study's grace period,
reduction factor 3, the same rungs in epochs and two slots, in a loop that stands for Tune
(`_loop.py`); the segments are trained for real. Careful starts each trial from the end of what all
have in common, naive from nothing. `asha_bound_careful` says how much sharing there is in what
Ray's ASHA chose to train; `promote_*` is thaw with its promoting ASHA against the same careful
user.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console
from rich.table import Table

from benchmarks._asha import under_asha
from benchmarks._cases import CASES, Case, tiny
from benchmarks._grids import halving
from benchmarks._halving import Needed, needed
from benchmarks._ray_pattern import HUNG_S, Run, run_pattern
from benchmarks._report import report
from search_spaces.dimensions import Ask
from search_spaces.study import Study, config_of
from thaw.cluster import connected
from thaw.options import Options
from thaw.plan import draw, make_plan
from thaw.results import Row
from thaw.search import search
from trainables.spec import TrialSpec
from training.record import Record
from training.settings import Place
from training.store import Store
from training.walk import foresee

_SLOTS = 2
_SEED = 0
_TARGETS = {
    "share_of_bound": (">=", 0.98),
    "metrics_identical": (">=", 1.0),
}
_SIDES = {
    "naive": "naive",
    "careful": "careful",
    "plain Ray": "ray",
    "thaw": "thaw",
    "bound": "bound",
}
"""Row of the table -> end of the names of its figures."""


def fixed_list(
    study: Study, num_trials: int, fields: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the values of `num_trials` different trials: the study's points, then random ones.

    `fields` configure the task.
    """
    drawn = draw(study, config_of(study, dict(fields or {})), {}, 4 * num_trials, _SEED)
    different = {repr(sorted(values.items())): values for values in drawn}
    return list(different.values())[:num_trials]


def _spec(study: Study, values: Mapping[str, Any], fields: Mapping[str, Any]) -> TrialSpec:
    """Return the trial that `values` mean."""
    ask = Ask(optuna.trial.FixedTrial(dict(values)), {})
    schedule = study.space(ask, config_of(study, dict(fields)), _SEED)
    return TrialSpec(system=study.system, task=dict(fields), schedule=schedule)


def compare(case: Case, num_trials: int, folder: Path) -> dict[str, float]:
    """Run a fixed list of trials on both sides and return the figures."""
    study, points = case.study, fixed_list(case.study, num_trials, case.fields)
    specs = [_spec(study, values, case.fields) for values in points]
    facts = specs[0].facts(Place())
    store = Store(str(folder / "store"))
    ours, rows = run_thaw(case, points, folder)
    theirs, hung = run_pattern(specs, folder, num_slots=_SLOTS)
    if hung:
        print(
            f"{study.name}: Ray's pattern hung: no trial ended within {HUNG_S} s after number "
            f"{len(theirs.results)} of {len(specs)}; its time is that of the trials before it"
        )
    keys = [foresee(spec.schedule, facts, store.record) for spec in specs]
    differing = _differing(rows, [store.record(way[-1]) for way in keys], theirs, study.metric)
    for line in differing:
        print(f"{study.name}: {line}")
    figures = _figures(needed(keys), ours, rows, theirs, identical=not differing)
    _show(study.name, figures)
    return figures


def run_thaw(
    case: Case, points: Sequence[Mapping[str, Any]], folder: Path
) -> tuple[Run, list[Row]]:
    """Search exactly `points`; return the times and the rows in the order of `points`."""
    options = Options(
        study=case.study.name,
        trials=len(points),
        seed=_SEED,
        out=str(folder / "ours"),
        store=str(folder / "store"),
        scheduler="none",
        gpus_per_trial=0,
        max_concurrent=_SLOTS,
    )
    run = Run(time.time())
    study = replace(case.study, points=tuple(points))
    table = search(study, dict(case.fields), {}, options, Console(quiet=True))
    run.over_s = time.time()
    rows = sorted(table.rows.values(), key=lambda row: row.trial)
    if [row.values for row in rows] != list(points):
        raise SystemExit("shared_prefixes: thaw did not run the list of trials that it was given")
    return run, rows


def _differing(
    rows: Sequence[Row], last: Sequence[Record | None], theirs: Run, metric: str
) -> list[str]:
    """Return a line for each trial whose final metrics are not the same on both sides."""
    lines = []
    for number, (row, record) in enumerate(zip(rows, last, strict=True)):
        if record is None or row.status != "finished" or row.last != record.metrics[metric]:
            lines.append(f"trial {number} of thaw did not end: {row.status}, {row.ended}")
            continue
        result = theirs.results.get(number)
        if result is None:
            continue  # of those that hung, nothing is known
        got = {name: result[name] for name in record.metrics}
        if got != record.metrics:
            lines.append(f"trial {number}: {record.metrics} in thaw, {got} in plain Ray")
    return lines


def _figures(
    counts: Needed, ours: Run, rows: Sequence[Row], theirs: Run, *, identical: bool
) -> dict[str, float]:
    trained = sum(row.segments_trained for row in rows)
    bound = len(counts.keys)
    done = theirs.results.values()
    per_trial_s = theirs.wall_s / len(done)
    return {
        "share_of_bound": bound / trained,
        "metrics_identical": float(identical),
        "wall_ratio": per_trial_s / (ours.wall_s / len(rows)),
        "segment_ratio_naive": counts.naive / trained,
        "segment_ratio_careful": counts.careful / trained,
        "merge_rate": counts.ratio_naive,
        "trials": counts.num_trials,
        "trials_compared": len(done),
        "segments_naive": counts.naive,
        "segments_careful": counts.careful,
        "segments_thaw": trained,
        "segments_bound": bound,
        "segments_ray": sum(result["segments"] for result in done),
        "device_s_ray": sum(result["device_s"] for result in done),
        "device_s_thaw": sum(row.device_s for row in rows),
        "wall_s_ray": theirs.wall_s,
        "wall_s_thaw": ours.wall_s,
    }


def _show(name: str, figures: Mapping[str, float]) -> None:
    table = Table("", "segments", "device-seconds", "wall s", title=name, title_justify="left")
    for side, key in _SIDES.items():
        times = (figures.get(f"{what}_{key}") for what in ("device_s", "wall_s"))
        cells = ("" if value is None else f"{value:.1f}" for value in times)
        table.add_row(side, f"{figures[f'segments_{key}']:.0f}", *cells)
    Console().print(table)


def merge(found: Mapping[str, dict[str, float]]) -> dict[str, float]:
    """Return the figures of all studies: the worst of what has a target, and each by its name."""
    if len(found) == 1:
        return next(iter(found.values()))
    everywhere = set.intersection(*(set(figures) for figures in found.values()))
    worst = {
        name: min(figures[name] for figures in found.values())
        for name in next(iter(found.values()))
        if name in everywhere and (name in _TARGETS or "_ratio" in name)
    }
    return worst | {
        f"{study}_{name}": value
        for study, figures in found.items()
        for name, value in figures.items()
    }


def planned(case: Case, num_trials: int, folder: Path) -> dict[str, float]:
    """Return how many segments a search of the case's other configuration needs, by plan."""
    if case.planned is None:
        return {}
    study, fields = case.study, dict(case.planned)
    config = config_of(study, fields)
    drawn = draw(study, config, {}, num_trials, _SEED)
    facts = _spec(study, drawn[0], fields).facts(Place())
    store = Store(str(folder / "empty"))
    plan, different = (
        make_plan(study, config, {}, points, facts, seed=_SEED, store=store, hours=None)
        for points in (drawn, fixed_list(study, num_trials, fields))
    )
    return {
        "planned_ratio_naive": plan.segments_naive / plan.segments_shared,
        "planned_ratio_careful": plan.segments_careful / plan.segments_shared,
        "planned_segments_naive": plan.segments_naive,
        "planned_segments_careful": plan.segments_careful,
        "planned_segments_thaw": plan.segments_shared,
        "planned_different_ratio_naive": different.segments_naive / different.segments_shared,
    }


def without_ray(case: Case, num_trials: int, folder: Path) -> dict[str, float]:
    """Return the figures of what takes no cluster: the plan, the halved grids, ASHA in a loop."""
    figures = planned(case, num_trials, folder)
    if case.grids_of is not None:
        figures |= halving(case.grids_of, folder / "grids")
    if case.raced:
        points = fixed_list(case.study, case.raced, case.fields)
        figures |= under_asha(case.study, points, folder / "raced", case.fields)
    return figures


def main() -> None:
    """Run all parts and report."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.shared_prefixes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="2 trials of lr_sequence on two moons")
    parser.add_argument("--study", choices=CASES, help="compare on this study; default: on all")
    parser.add_argument("--trials", type=int, default=24, help="trials of each study, at least 2")
    parser.add_argument("--no-ray", action="store_true", help="only what takes no cluster")
    arguments = parser.parse_args()
    num_trials = 2 if arguments.tiny else max(2, arguments.trials)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as data:
        chosen = [make for name, make in CASES.items() if arguments.study in (None, name)]
        cases = [tiny()] if arguments.tiny else [make(Path(data)) for make in chosen]
        for case in cases:
            with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name:
                figures = without_ray(case, num_trials, Path(name))
            print(f"{case.study.name}, without Ray: {json.dumps(figures)}", flush=True)
            found[case.study.name] = figures
        if not arguments.no_ray:
            compare_all(cases, num_trials, found)
    merged = merge(found)
    targets = {name: of for name, of in _targets(cases, num_trials).items() if name in merged}
    report("shared_prefixes", merged, targets)


def compare_all(cases: Sequence[Case], num_trials: int, found: dict[str, dict[str, float]]) -> None:
    """Run both sides of each case on one Ray instance, and put the figures first in `found`."""
    with connected(None):
        for case in cases:
            with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name:
                figures = compare(case, num_trials, Path(name))
            found[case.study.name] = figures | found[case.study.name]


def _targets(cases: Sequence[Case], num_trials: int) -> dict[str, tuple[str, float]]:
    """Return the targets of figures, under the names that `merge` gives them."""
    targets = dict(_TARGETS)
    for case in cases:
        prefix = f"{case.study.name}_" if len(cases) > 1 else ""
        targets |= {f"{prefix}{name}": target for name, target in case.targets.items()}
        if num_trials < 24:  # the claim about time is for that many: the start weighs on fewer
            targets.pop(f"{prefix}wall_ratio", None)
    return targets


if __name__ == "__main__":
    main()
