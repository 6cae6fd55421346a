"""Trials of a cyclic search as the report wants them: the models at the ends of their stages."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from thaw.results import SCHEDULE, read_search
from trainables.spec import TrialSpec
from training.cyclic import PROBES
from training.cyclic_config import CyclicConfig
from training.errors import UserError
from training.record import Record
from training.store import Store

_RESULT = "result.json"
_CYCLE = re.compile(r"(cycle|retrain|fallback)(\d+)_")
_DIMENSION = re.compile(r"lambda_|cyclic_|origin$|seed$")
_STRATEGIES = {"cycle": "cyclic", "retrain": "full_retrain", "fallback": "cyclic"}
NO_CYCLE = "no_cycle"
PRETRAIN, FIRST = "pretrain", "first"
Part = tuple[str, str, Record]
"""(stage or round, model, segment)."""


@dataclass(frozen=True)
class Span:
    """The segments of one stage, or of one round of stages, in a trial."""

    name: str
    """Of the stage; of a round `first` or, say, `cycle1`."""
    model: str
    """Which model was trained last."""
    num_epochs: dict[str, int]
    """Model -> epochs."""
    device_s: dict[str, float]
    """Model -> device-seconds."""
    end: Record
    """Its last segment."""

    @property
    def probes(self) -> list[list[int]]:
        """Return (probes, recognised, recognised after bicubic) for each held-out identity."""
        return self.end.tables.get(f"val_{PROBES}", [])


@dataclass(frozen=True)
class Trial:
    """A trial as far as it got."""

    name: str
    """With the folder of its search."""
    status: str
    values: dict[str, str]
    """Dimension -> value, as the table of the search has it."""
    spec: TrialSpec
    config: CyclicConfig
    store: Store
    stages: tuple[Span, ...]
    """In the order in which they were trained."""
    rounds: tuple[Span, ...]
    """The first models, then each whole cycle; none where the first models were not finished."""

    @property
    def strategy(self) -> str:
        """Return what its schedule does after the first models."""
        kinds = (_CYCLE.match(stage.name) for stage in self.spec.schedule.stages)
        return next((_STRATEGIES[kind[1]] for kind in kinds if kind), NO_CYCLE)

    @property
    def finished(self) -> bool:
        """Tell whether it came to the end of its schedule."""
        return self.status == "finished"

    @property
    def device_s(self) -> float:
        """Return the device-seconds of all its stages, whoever trained them."""
        return sum(sum(span.device_s.values()) for span in self.stages)


def read_trials(folders: Sequence[Path], store: str | None) -> list[Trial]:
    """Read the searches and confirmations in `folders`; segments come from their stores.

    Raises `UserError` where a folder holds no search of the system `cyclic`, a segment is not in
    the store, nothing was finished, or nothing was measured before the cycles.
    """
    trials = [trial for folder in folders for trial in _search(folder, store)]
    if given := next((trial for trial in trials if trial.config.finetuned), None):
        raise UserError(
            f"{given.name}: its models were given fine-tuned (finetuned=true), so that nothing was "
            "measured before its cycles; allowed: searches that train the first two models"
        )
    if not any(trial.rounds for trial in trials):
        raise UserError(f"{folders[0]}: no trial has finished its first two models yet")
    return trials


def _search(folder: Path, store_url: str | None) -> Iterator[Trial]:
    facts, rows = read_search(folder)
    if facts.get("system") != "cyclic":
        raise UserError(
            f"{folder}: is of system {facts.get('system')}, this report is on `cyclic`; "
            "allowed: results of `thaw search cyclic_lambda` and of `thaw confirm` on them"
        )
    store = Store(store_url or facts["options"]["store"])
    for row in rows:
        trial = folder / Path(row["folder"]).name  # never out of the results
        if (visited := _visited(trial / _RESULT)) and (trial / SCHEDULE).is_file():
            yield _trial(f"{folder.name}/{row['trial']}", row, trial, visited, store)


def _visited(path: Path) -> list[tuple[str, str]]:
    """Return (stage, key) of each segment; one that was reported again counts once."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        return list({int(at["segment"]): (at["stage"], at["key"]) for at in found}.values())
    except OSError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is damaged ({error})") from None


def _trial(
    name: str, row: dict[str, Any], folder: Path, visited: list[tuple[str, str]], store: Store
) -> Trial:
    spec = TrialSpec.read(str(folder / SCHEDULE))
    config = spec.config()
    assert isinstance(config, CyclicConfig)
    records = store.records(key for _, key in visited)
    if missing := [key for _, key in visited if key not in records]:
        raise UserError(
            f"store {store.url}: lacks {len(missing)} of {len(visited)} segments of {name}; name "
            "the store that it was searched with by --store"
        )
    models = {stage.name: stage.model for stage in spec.schedule.stages}
    parts = [(stage, models[stage], records[key]) for stage, key in visited]
    dimensions = {name: value for name, value in row.items() if value and _DIMENSION.match(name)}
    return Trial(
        name,
        row["status"],
        dimensions,
        spec,
        config,
        store,
        tuple(_spans(parts)),
        tuple(_rounds(parts, finished=row["status"] == "finished")),
    )


def _rounds(parts: Sequence[Part], *, finished: bool) -> list[Span]:
    """Return the rounds that are whole: another one has begun, or the trial is over."""
    named = [(round_of(stage), model, record) for stage, model, record in parts]
    spans = _spans((name, model, record) for name, model, record in named if name)
    return spans if finished else spans[:-1]


def round_of(stage: str) -> str:
    """Return the round that a stage is part of; none for what comes before all models."""
    kind = _CYCLE.match(stage)
    return f"{kind[1]}{kind[2]}" if kind else "" if stage == PRETRAIN else FIRST


def _spans(parts: Iterable[Part]) -> list[Span]:
    """Join what follows each other under one name."""
    spans = []
    for name, group in groupby(parts, key=itemgetter(0)):
        found = list(group)
        models = [model for _, model, _ in found]
        device_s = dict.fromkeys(models, 0.0)
        for _, model, record in found:
            device_s[model] += record.device_s
        spans.append(Span(name, models[-1], dict(Counter(models)), device_s, found[-1][2]))
    return spans
