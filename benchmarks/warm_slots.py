"""Time per trial: a warm slot against the pattern of Ray's own guide.

    python -m benchmarks.warm_slots [--tiny] [--trials 20]

Ours is `thaw.search` as it stands: Optuna on SQLite, the slot with `reuse_actors`, the store, the
tables. Theirs is Ray's user guide "Hyperparameter Tuning with Ray Tune": see `_ray_pattern.py`.

Equal on both sides: machine, Ray instance and its environment, `Tuner`, one trial at a time, one
worker with one CPU and one torch thread, model, images, learning rates, seed, optimizer steps,
evaluation, and the state that is written after each segment. The training code is the same too,
so that the accuracies must agree to the last bit; the benchmark fails where they do not.
Not equal: theirs draws no values and keeps no database, starts when the files are in the page
cache, and its workers are asked for reports every 0.5 s (as for ours) where Ray's default is 2 s.
Ours starts in an empty store, so that every segment is trained. The start of ours is in its first
trial, and its end in neither number but in the total.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import optuna
from rich.console import Console

from benchmarks._ray_pattern import HUNG_S, Run, run_pattern
from benchmarks._report import report
from search_spaces.dimensions import Ask, Real
from search_spaces.study import Study
from thaw.cluster import connected
from thaw.options import Options
from thaw.results import Row
from thaw.search import search
from trainables.spec import TrialSpec
from training.schedule import Schedule, Stage

_EPOCHS = 2


def schedule_of(lr: float, seed: int = 0) -> Schedule:
    """Return two epochs of eight steps on the embedded digits."""
    return Schedule(seed=seed, stages=(Stage(name="all", epochs=_EPOCHS, lr=lr),))


def run_ours(num_trials: int, folder: Path) -> tuple[Run, list[Row]]:
    """Search with warm slots; return the times and the rows of the table."""
    rate = Real(name="lr", low=1e-4, high=1e-2, log=True)
    study = Study(
        name="warm_slots",
        question="How long does a trial take beside its training?",
        system="classifier",
        dimensions=(rate,),
        space=lambda ask, config, seed: schedule_of(_ask(ask, rate), seed),
        max_epochs=_EPOCHS,
        grace_epochs=1,
    )
    options = Options(
        study=study.name,
        trials=num_trials,
        seed=0,
        out=str(folder / "ours"),
        store=str(folder / "store"),
        scheduler="none",
        gpus_per_trial=0,
        max_concurrent=1,
    )
    run = Run(time.time())
    table = search(study, {}, {}, options, Console(quiet=True))
    run.over_s = time.time()
    told = optuna.load_study(
        study_name=study.name, storage=f"sqlite:///{folder / 'ours' / 'optuna.db'}"
    )
    run.ended_s = [
        trial.datetime_complete.timestamp() for trial in told.trials if trial.datetime_complete
    ]
    rows = list(table.rows.values())
    trained = [row.segments_trained for row in rows]
    if trained != [_EPOCHS] * num_trials:
        raise SystemExit(f"warm_slots: not every segment was trained: {trained} per trial")
    return run, rows


def main() -> None:
    """Run both sides and report."""
    parser = argparse.ArgumentParser(prog="benchmarks.warm_slots", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="2 trials of theirs, 4 of ours")
    parser.add_argument("--trials", type=int, default=20, help="number of trials, at least 2")
    arguments = parser.parse_args()
    num_ours, num_theirs = (4, 2) if arguments.tiny else (max(2, arguments.trials),) * 2
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as name, connected(None):
        ours, rows = run_ours(num_ours, Path(name))
        specs = [
            TrialSpec(system="classifier", schedule=schedule_of(row.values["lr"]))
            for row in rows[:num_theirs]
        ]
        theirs, hung = run_pattern(specs, Path(name), num_slots=1)
    if hung:
        print(
            f"Ray's pattern hung: no trial ended within {HUNG_S} s after number "
            f"{len(theirs.ended_s)} of {num_theirs}; the times are those of the trials before it"
        )
    if len(theirs.ended_s) < 2:
        raise SystemExit("warm_slots: Ray's pattern ended fewer than two trials")
    for number, result in theirs.results.items():
        if result["val_accuracy"] != rows[number].last:
            raise SystemExit(
                f"warm_slots: both sides must train alike, but the accuracies of trial {number} "
                f"are {rows[number].last} and {result['val_accuracy']}"
            )
    report(
        "warm_slots",
        {
            "ratio": theirs.s_per_trial / ours.s_per_trial,
            "s_per_trial_ours": ours.s_per_trial,
            "s_per_trial_ray": theirs.s_per_trial,
            "first_trial_s_ours": ours.first_trial_s,
            "first_trial_s_ray": theirs.first_trial_s,
            "total_s_ours": ours.wall_s,
            "total_s_ray": theirs.wall_s,
            "trials": len(ours.ended_s),
            "trials_ray": len(theirs.ended_s),
        },
        {"ratio": (">=", 10.0)},
    )


def _ask(ask: Ask, rate: Real) -> float:
    value: float = ask(rate)
    return value


if __name__ == "__main__":
    main()
