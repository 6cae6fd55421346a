"""What Ray Tune itself takes for each trial: real trials, all replayed, nothing trained."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import optuna
from rich.console import Console

from benchmarks._growth import any_spec
from benchmarks._memory import anonymous_mb, peak_mb
from benchmarks._synthetic import FACTS, STUDY, make
from thaw.cluster import connected
from thaw.proposer import Proposer
from thaw.results import Table
from thaw.running import Run, run_trials
from thaw.scheduling import make_scheduler
from thaw.trials import FixedList, Proposal
from trainables.pool import Workers
from training.config import Config
from training.keys import Step
from training.record import Record
from training.store import Store
from training.walk import walk

_SLOTS = 2


class Sampled(FixedList):
    """Trials that are known beforehand; notes time and memory whenever one is asked for."""

    def __init__(self, proposals: list[Proposal]) -> None:
        super().__init__(proposals)
        self.seen: list[tuple[float, float, float]] = []
        """(seconds, peak in MB, anonymous memory in MB)."""

    def next(self) -> Proposal | None:
        """Return the next one."""
        self.seen.append((time.perf_counter(), peak_mb(), anonymous_mb()))
        return super().next()


def tune_cost(num_trials: int, folder: Path, most: int) -> dict[str, float]:
    """Run `num_trials` on real slots; return what one more costs, from the second half of them.

    `driver_mb_at_most` is where a straight line through that half comes to at `most` trials,
    `driver_anonymous_mb` what of it is in no library's file.
    """
    store = Store(str(folder / "store"))
    source = Sampled(_replayed(num_trials, store))
    run = Run(
        folder=folder / "out",
        title=STUDY.name,
        num_trials=num_trials,
        store=store,
        workers=Workers(store=store.url),
        slots=_SLOTS,
        scheduler=make_scheduler(STUDY, "asha", "epochs"),
        scheduler_name="asha",
    )
    run.folder.mkdir()
    table = Table(STUDY.metric, STUDY.mode)
    with connected(None):
        run_trials(run, source, table, Console(quiet=True))
    ended = sum(row.status == "finished" for row in table.rows.values())
    if ended != num_trials:
        raise SystemExit(f"scale: only {ended} of {num_trials} replayed trials finished")
    middle, end = source.seen[num_trials // 2], source.seen[num_trials]
    rest = num_trials - num_trials // 2
    s_per_trial, mb_per_trial, _ = ((b - a) / rest for a, b in zip(middle, end, strict=True))
    _, peak, anonymous = end
    more = mb_per_trial * (most - num_trials)
    return {
        "tune_kb_per_trial": 1024 * mb_per_trial,
        "tune_s_per_trial": s_per_trial,
        "driver_mb_at_most": peak + more,
        "driver_anonymous_mb": anonymous + more,
    }


def _replayed(num_trials: int, store: Store) -> list[Proposal]:
    """Return trials whose segments are all in the store."""
    proposer = Proposer(STUDY, Config(), {}, any_spec(), FACTS)

    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def train(path: Sequence[Step]) -> Record:
        store.publish(record := make(path), {})
        return record

    proposals = [proposer(asked.ask()) for _ in range(num_trials)]
    for proposal in proposals:
        deque(walk(proposal.assignment.spec.schedule, FACTS, store, train), maxlen=0)
    return proposals
