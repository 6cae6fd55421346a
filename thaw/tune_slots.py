"""How many trials on one device give most trials per hour: measured, with real training.

One more process after another trains beside the others on the study's first trial, until one more
does not pay, or would not fit.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from thaw.heaviest import Trial
from thaw.side_by_side import Count, NoMemory, Processes
from training.errors import UserError

LEAST_GAIN = 0.05
"""One more must give this share more trials per hour than without it."""
_LEAST_STEPS = 3
_ENOUGH = 3
"""Whole segments of each process from which they are counted, not steps."""
_CONTEXT_BYTES = 2**29
"""What CUDA takes on the GPU for a process beside torch's memory, about."""
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Row:
    """So many trials at once."""

    trials: int
    trials_per_hour: float
    gain: float
    """Trials per hour over those of one alone."""
    memory_bytes: int
    """The most that one of them takes, of the GPU or of the machine."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured, and what follows."""

    study: str
    device: str
    """`cuda` or `cpu`."""
    stage: str
    """The stage that was trained."""
    rows: tuple[Row, ...]
    recommended: int
    """Trials at once."""
    flags: str
    """The option of `thaw search` that asks for it."""
    ended: str
    """Why no more were tried."""

    def json(self) -> str:
        """Return all of it as one JSON object."""
        return json.dumps(asdict(self))


def tune(
    trial: Trial,
    *,
    study: str,
    most: int,
    seconds: float,
    starting: Callable[[int], None] = lambda num: None,
    measured: Callable[[Row], None] = lambda row: None,
) -> Found:
    """Measure 1, 2, ... up to `most` trials at once, `seconds` each, for as long as it pays.

    `starting` is told how many are about to be tried, `measured` what came out. Raises `UserError`
    where the window is too short for a few steps, and `NoMemory` where not even one trial fits.
    """
    device, (num_most, capped) = trial.work.settings.place.device, limit(most)
    with (
        tempfile.TemporaryDirectory(prefix="thaw-tune-") as folder,
        Processes(replace(trial.work, store=folder)) as processes,
    ):

        def measure(num: int) -> list[Count]:
            starting(num)
            processes.add()
            return processes.measure(seconds)

        rows, ended = climb(trial, measure, num_most, measured)
    recommended = best(rows).trials
    return Found(
        study=study,
        device=device,
        stage=trial.stage,
        rows=tuple(rows),
        recommended=recommended,
        flags=flags(recommended, device),
        ended=ended or capped,
    )


def climb(
    trial: Trial,
    measure: Callable[[int], Sequence[Count]],
    most: int,
    measured: Callable[[Row], None] = lambda row: None,
) -> tuple[list[Row], str]:
    """Return a row for 1, 2, ... `most` at once, and why there are no more; empty text for `most`.

    `measure` trains so many at once and returns what each has done, or raises `NoMemory`.
    """
    rows: list[Row] = []
    for num in range(1, most + 1):
        try:
            counts = measure(num)
        except NoMemory:
            if not rows:
                raise
            return rows, f"there is no memory for {num}"
        if num == 1:
            _check_window(counts[0])
            refused, by_segments = counts[0].refused, counts[0].segments >= _ENOUGH * most
        if max(count.refused for count in counts) > refused:
            return rows, f"there is no memory for {num}"
        rows.append(row_of(counts, trial, rows, by_segments=by_segments))
        measured(rows[-1])
        if best(rows) is not rows[-1]:
            return rows, f"one more gave less than {LEAST_GAIN:.0%} more"
        if num < most and not _room(counts, trial.work.settings.place.device):
            return rows, f"there is no memory for {num + 1}"
    return rows, ""


def row_of(
    counts: Sequence[Count], trial: Trial, before: Sequence[Row], *, by_segments: bool
) -> Row:
    """Return what several processes at once come to; by whole segments, or else by steps.

    Steps stand for segments where these are long: the time of an evaluation then counts as far as
    the window has met one.
    """
    num_steps = trial.work.settings.num_steps
    segments_per_s = sum(_segments_per_s(count, num_steps, by_segments) for count in counts)
    trials_per_hour = segments_per_s * _SECONDS_PER_HOUR / trial.num_segments
    alone = before[0].trials_per_hour if before else trials_per_hour
    return Row(
        trials=len(counts),
        trials_per_hour=trials_per_hour,
        gain=trials_per_hour / alone,
        memory_bytes=max(count.memory_bytes for count in counts),
    )


def best(rows: Sequence[Row]) -> Row:
    """Return the last row that gives `LEAST_GAIN` more than the one before it, as all before do."""
    found = rows[0]
    for row in rows[1:]:
        if row.trials_per_hour < (1 + LEAST_GAIN) * found.trials_per_hour:
            break
        found = row
    return found


def flags(num: int, device: str) -> str:
    """Return the option of `thaw search` that trains `num` trials at once on each GPU, or here."""
    if device == "cpu":
        return f"--max-concurrent {num}"
    return f"--gpus-per-trial {math.floor(1000 / num) / 1000:g}"  # so that `num` of them fit on one


def limit(most: int) -> tuple[int, str]:
    """Return how many to try at most, and why; a search gives each training process a CPU."""
    cpus = len(os.sched_getaffinity(0))
    if cpus < most:
        return cpus, f"each takes a CPU, and there {'are' if cpus > 1 else 'is'} {cpus}"
    return most, f"no more than {most} were asked for (--most)"


def _check_window(alone: Count) -> None:
    if alone.steps < _LEAST_STEPS:
        enough = math.ceil(_LEAST_STEPS * alone.seconds / max(1, alone.steps))
        raise UserError(
            f"--seconds: too short for {_LEAST_STEPS} steps; allowed: from about {enough}"
        )


def _room(counts: Sequence[Count], device: str) -> bool:
    """Tell whether one more finds memory, of which nobody knows where the system does not tell."""
    free = min(count.free_bytes for count in counts)
    needed = max(count.memory_bytes for count in counts)
    return not free or free > needed + (_CONTEXT_BYTES if device == "cuda" else 0)


def _segments_per_s(count: Count, num_steps: int, by_segments: bool) -> float:
    if by_segments and count.segments:
        return count.segments / count.segments_s
    return count.steps / num_steps / count.seconds
