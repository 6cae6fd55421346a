"""Segments and time of the same trials: plain Ray Tune against thaw, and under halving.

    python -m benchmarks.shared_prefixes [--tiny] [--study NAME] [--trials 24]

First, for each study, one fixed list of trials (the study's points and random ones) twice: through
the pattern of Ray's own guide (`_ray_pattern.py`), every trial from nothing, and through
`thaw.search` as it stands, from an empty store. Two trials at a time on both sides, one worker with
one CPU each, no early stopping, the same Ray instance, the same training code and a state written
after each segment. All metrics after the last segment of every trial must be identical. Four
numbers of segments: naive (every trial from nothing), careful (every trial from the checkpoint that
ends what all trials of the list have in common), what thaw trained, and the bound (distinct
segments of that list). Where several studies run, a figure without a study's name is the worst of
them. Times are without the start of Ray; thaw goes first, so that files are in the page cache for
plain Ray.

Then, without Ray, the grid of `lr_sequence` under synchronous successive halving: each distinct
segment is trained once (on the digits; on two moons with --tiny), and the records say which of them
halving needs (`_halving.py`: a third goes on at each rung; rungs are the study's own, ties are
broken at random, figures are means over 20 such draws). `sh_*` is one grid with factors (0.3, 0.1),
`sh_two_*` two studies on one store: a user tries the grid again with harder second thoughts,
factors (0.3, 0.03). `*_ratio_naive` counts every trial from nothing including the stages before the
one that is searched, which all trials share; `*_ratio_careful` is against the careful user.
`*_ratio_last_stage` counts the searched stage alone: it is the one that the targets are for, as the
bounds 3.46 (one grid, in full) and 4.23 (two) count that stage alone too. `full_*` is the same
without halving.

Last, `asha_*`: 64 trials of `unfreeze_timing` under ASHA on both sides, counted in segments. Ray's
own ASHA decides on each side, with the study's grace period, reduction factor 3, the same rungs in
epochs and two slots, in a loop that stands for Tune (`_loop.py`); the segments are trained for
real. Careful starts each trial from the end of what all have in common, naive from nothing.
`asha_bound_careful` says how much sharing there is in what Ray's ASHA chose to train; `promote_*`
is thaw with its promoting ASHA against the same careful user.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import optuna
from rich.console import Console
from rich.table import Table

from benchmarks._asha import under_asha
from benchmarks._halving import Needed, halve, needed, rungs_of, train_paths
from benchmarks._ray_pattern import HUNG_S, Run, run_pattern
from benchmarks._report import report
from search_spaces.dimensions import Ask
from search_spaces.grid import grid
from search_spaces.lr_sequence import lr_sequence
from search_spaces.study import Study, config_of
from search_spaces.study import study as find_study
from thaw.cluster import connected
from thaw.options import Options
from thaw.plan import Plan, draw, make_plan
from thaw.results import Row
from thaw.search import search
from trainables.spec import TrialSpec
from trainables.systems import system
from training.record import Record
from training.schedule import Schedule
from training.settings import Place
from training.store import Store
from training.walk import foresee

_STUDIES = ("unfreeze_timing", "lr_sequence")
_SLOTS = 2
_SEED = 0
_TIE_BREAKS = 20
_OTHER_FACTORS = (0.3, 0.03)
_MOONS = Path(__file__).parent.parent / "docs" / "own" / "moons_system.py"
_MOONS_STUDY = _MOONS.with_name("moons_study.py")
_ASHA_TRIALS = 64
_TARGETS = {
    "share_of_bound": (">=", 0.98),
    "metrics_identical": (">=", 1.0),
    "wall_ratio": (">=", 4.0),
    "sh_ratio_last_stage": (">=", 4.7),
    "sh_two_ratio_last_stage": (">=", 6.77),
    "asha_ratio_careful": (">=", 2.0),
}


def fixed_list(study: Study, num_trials: int) -> list[dict[str, Any]]:
    """Return the values of `num_trials` different trials: the study's points, then random ones."""
    drawn = draw(study, config_of(study, {}), {}, 4 * num_trials, _SEED)
    different = {repr(sorted(values.items())): values for values in drawn}
    return list(different.values())[:num_trials]


def schedule_of(study: Study, values: Mapping[str, Any]) -> Schedule:
    """Return the schedule that `values` mean."""
    ask = Ask(optuna.trial.FixedTrial(dict(values)), {})
    return study.space(ask, config_of(study, {}), _SEED)


def compare(study: Study, points: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, float]:
    """Run a fixed list of trials on both sides and return the figures."""
    specs = [TrialSpec(system=study.system, schedule=schedule_of(study, p)) for p in points]
    facts = specs[0].facts(Place())
    store = Store(str(folder / "store"))
    plan = make_plan(
        study,
        config_of(study, {}),
        {},
        points,
        facts,
        seed=_SEED,
        store=store,
        hours=None,
    )
    ours, rows = run_thaw(study, points, folder)
    theirs, hung = run_pattern(specs, folder, num_slots=_SLOTS)
    if hung:
        print(
            f"{study.name}: Ray's pattern hung: no trial ended within {HUNG_S} s after number "
            f"{len(theirs.results)} of {len(specs)}; its time is that of the trials before it"
        )
    last = [store.record(foresee(spec.schedule, facts)[-1]) for spec in specs]
    differing = _differing(rows, last, theirs, study.metric)
    for line in differing:
        print(f"{study.name}: {line}")
    figures = _figures(plan, ours, rows, theirs, identical=not differing)
    _show(study.name, plan, figures)
    return figures


def run_thaw(
    study: Study, points: Sequence[Mapping[str, Any]], folder: Path
) -> tuple[Run, list[Row]]:
    """Search exactly `points`; return the times and the rows in the order of `points`."""
    options = Options(
        study=study.name,
        trials=len(points),
        seed=_SEED,
        out=str(folder / "ours"),
        store=str(folder / "store"),
        scheduler="none",
        gpus_per_trial=0,
        max_concurrent=_SLOTS,
    )
    run = Run(time.time())
    table = search(replace(study, points=tuple(points)), {}, {}, options, Console(quiet=True))
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
    plan: Plan, ours: Run, rows: Sequence[Row], theirs: Run, *, identical: bool
) -> dict[str, float]:
    trained = sum(row.segments_trained for row in rows)
    done = theirs.results.values()
    per_trial_s = theirs.wall_s / len(done)
    return {
        "share_of_bound": plan.segments_shared / trained,
        "metrics_identical": float(identical),
        "wall_ratio": per_trial_s / (ours.wall_s / len(rows)),
        "segment_ratio_naive": plan.segments_naive / trained,
        "segment_ratio_careful": plan.segments_careful / trained,
        "merge_rate": plan.merge_rate,
        "trials": plan.trials,
        "trials_compared": len(done),
        "segments_naive": plan.segments_naive,
        "segments_careful": plan.segments_careful,
        "segments_thaw": trained,
        "segments_bound": plan.segments_shared,
        "segments_ray": sum(result["segments"] for result in done),
        "device_s_ray": sum(result["device_s"] for result in done),
        "device_s_thaw": sum(row.device_s for row in rows),
        "wall_s_ray": theirs.wall_s,
        "wall_s_thaw": ours.wall_s,
    }


def _show(name: str, plan: Plan, figures: Mapping[str, float]) -> None:
    table = Table("", "segments", "device-seconds", "wall s", title=name, title_justify="left")
    table.add_row("naive", str(plan.segments_naive))
    table.add_row("careful", str(plan.segments_careful))
    for side, segments in (("plain Ray", "segments_ray"), ("thaw", "segments_thaw")):
        key = "ray" if side == "plain Ray" else "thaw"
        times = (f"{figures[f'{what}_{key}']:.1f}" for what in ("device_s", "wall_s"))
        table.add_row(side, f"{figures[segments]:.0f}", *times)
    table.add_row("bound", str(plan.segments_shared))
    Console().print(table)


def merge(found: Mapping[str, dict[str, float]]) -> dict[str, float]:
    """Return the figures of all studies: the worst of what has a target, and each by its name."""
    if len(found) == 1:
        return next(iter(found.values()))
    worst = {
        name: min(figures[name] for figures in found.values())
        for name in next(iter(found.values()))
        if name in _TARGETS or "_ratio_" in name
    }
    return worst | {
        f"{study}_{name}": value
        for study, figures in found.items()
        for name, value in figures.items()
    }


def halving(system_name: str, folder: Path) -> dict[str, float]:
    """Train two grids of `lr_sequence` into one store, and return what halving needs of them."""
    studies = [
        lr_sequence(system_name),
        lr_sequence(system_name, factors=_OTHER_FACTORS, name="lr_sequence_again"),
    ]
    config = config_of(studies[0], {})
    task = system(system_name).build(config)
    store = Store(str(folder))
    paths = [
        train_paths(
            study,
            [schedule_of(study, values) for values in grid(study, config, {})],
            task,
            _SEED,
            store,
        )
        for study in studies
    ]
    full = [needed([path.keys for path in of_one]) for of_one in paths]
    halved = []
    for draw_number in range(_TIE_BREAKS):
        random = Random(draw_number)
        halved.append([halve(of_one, rungs_of(studies[0]), random) for of_one in paths])
    return {
        **_ratios("full", [full[0]]),
        **_ratios("full_two", [full[0].and_also(full[1])]),
        **_ratios("sh", [one for one, _ in halved]),
        **_ratios("sh_two", [one.and_also(other) for one, other in halved]),
    }


def _ratios(prefix: str, draws: Sequence[Needed]) -> dict[str, float]:
    alone = [one.ratio_after_common for one in draws]
    return {
        f"{prefix}_ratio_naive": fmean(one.ratio_naive for one in draws),
        f"{prefix}_ratio_careful": fmean(one.ratio_careful for one in draws),
        f"{prefix}_ratio_last_stage": fmean(alone),
        **({f"{prefix}_ratio_last_stage_worst_draw": min(alone)} if len(draws) > 1 else {}),
        f"{prefix}_segments_shared": fmean(len(one.keys) for one in draws),
    }


def main() -> None:
    """Run both parts and report."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.shared_prefixes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tiny", action="store_true", help="2 trials of lr_sequence on two moons")
    parser.add_argument("--study", choices=_STUDIES, help="compare on this study; default: on all")
    parser.add_argument("--trials", type=int, default=24, help="trials of each study, at least 2")
    arguments = parser.parse_args()
    num_trials = 2 if arguments.tiny else max(2, arguments.trials)
    if arguments.tiny:
        studies = [lr_sequence(str(_MOONS))]
    else:
        studies = [find_study(name) for name in _STUDIES if arguments.study in (None, name)]
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name:
        halved = halving(str(_MOONS) if arguments.tiny else "classifier", Path(name))
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name:
        raced = find_study(str(_MOONS_STUDY) if arguments.tiny else "unfreeze_timing")
        points = fixed_list(raced, 8 if arguments.tiny else _ASHA_TRIALS)
        halved |= under_asha(raced, points, Path(name))
    found = {}
    with connected(None):
        for study in studies:
            with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name:
                found[study.name] = compare(study, fixed_list(study, num_trials), Path(name))
    targets = dict(_TARGETS)
    if num_trials < 24:  # the claim about time is for that many: the start weighs on fewer
        del targets["wall_ratio"]
    if arguments.tiny:  # another study, and a handful of trials
        del targets["asha_ratio_careful"]
    report("shared_prefixes", merge(found) | halved, targets)


if __name__ == "__main__":
    main()
