"""The table of a search: one row a trial, written as trials end, aside and renamed."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thaw.reading import SEARCH, TABLE, read_facts, read_rows
from thaw.whole_lines import end_last_line
from training.errors import UserError

SCHEDULE = "schedule.yaml"
JOURNAL = "segments.txt"
_HOW = _TRAINED, _REUSED, _GIVEN = "trained", "reused", "given"
_WRITE_PAUSE = 20
"""Pause between two writes of the table, in times of what the last one took."""


@dataclass
class Row:
    """What became of one trial."""

    trial: str
    values: dict[str, Any]
    status: str = "running"
    """`running`, `finished`, `stopped`, `diverged`, `failed` or `interrupted`."""
    ended: str = ""
    """Why it ended, in words."""
    best: float = math.nan
    last: float = math.nan
    best_key: str = ""
    """State after the segment that was best."""
    epochs: int = 0
    segments_trained: int = 0
    segments_reused: int = 0
    device_s: float = 0.0
    folder: str = ""
    last_key: str = ""
    """State after the last segment."""
    segments: int = 0
    """Segments so far; one that Tune reports again after a retry counts once."""
    cost_s: float = 0.0
    """Device-seconds of its segments, whoever trained them: what the schedule costs by itself."""
    decisions: str = ""
    """What the rules of its schedule decided, and after which segment."""
    monitor: str = ""
    """What the monitor says of it now: for the view, not for the file."""

    def update(self, result: dict[str, Any], metric: str, mode: str, *, trained: bool) -> None:
        """Take in the result of one more segment, which this trial `trained` or found."""
        if result["segment"] <= self.segments:
            return
        self.segments = result["segment"]
        self.last_key = result["key"]
        value = result[metric]
        self.last = value if math.isfinite(value) else self.last
        better = value > self.best if mode == "max" else value < self.best
        if better or (math.isnan(self.best) and math.isfinite(value)):
            self.best, self.best_key = value, result["key"]
        self.epochs = result["epoch"]
        self.segments_trained += trained
        self.segments_reused += not trained
        self.device_s += result["device_s"] if trained else 0.0
        self.cost_s = result["cost_s"]
        if result["event"]:
            decision = f"segment {self.segments}: {result['event']}"
            self.decisions = f"{self.decisions}; {decision}".removeprefix("; ")

    def fork(self, values: dict[str, Any], at: int) -> None:
        """Go on as another trial began: what it did up to segment `at` is not this one's."""
        self.values, self.segments = values, at
        self.best = self.last = math.nan
        self.best_key = ""

    @classmethod
    def from_plain(cls, text: dict[str, str], metric: str) -> Row:
        """Read a row of the file back; raise `UserError` where it lacks a column."""
        own = cls("", {}).plain(metric)
        if lacking := own.keys() - text.keys():
            raise UserError(f"{TABLE}: lacks the column {min(lacking)}")
        return cls(
            text["trial"],
            {name: _parsed(value) for name, value in text.items() if name not in own and value},
            status=text["status"],
            ended=text["ended"],
            best=float(text[f"best_{metric}"] or "nan"),
            last=float(text[f"last_{metric}"] or "nan"),
            best_key=text["best_key"],
            epochs=int(text["epochs"]),
            segments_trained=int(text["segments_trained"]),
            segments_reused=int(text["segments_reused"]),
            device_s=float(text["device_s"]),
            cost_s=float(text["cost_s"]),
            folder=text["folder"],
            decisions=text["decisions"],
        )

    def plain(self, metric: str) -> dict[str, Any]:
        """Return the row as it stands in the file."""
        return {
            "trial": self.trial,
            **self.values,
            f"best_{metric}": _number(self.best),
            f"last_{metric}": _number(self.last),
            "epochs": self.epochs,
            "segments_trained": self.segments_trained,
            "segments_reused": self.segments_reused,
            "device_s": round(self.device_s, 3),
            "cost_s": round(self.cost_s, 3),
            "status": self.status,
            "ended": self.ended,
            "decisions": self.decisions,
            "best_key": self.best_key,
            "folder": self.folder,
        }


@dataclass
class Table:
    """All rows of a search, in the order in which trials began."""

    metric: str
    mode: str
    rows: dict[str, Row] = field(default_factory=dict)
    """Name of the trial -> its row."""
    halted: str = ""
    """Why the search came to a halt before its end; empty where it did not."""
    unvisited: int = 0
    """Segments trained beside other trials' to which the trial that they are of did not come."""
    num_trials: int = 0
    """How many rows there are at the end."""
    _written_s: float = field(default=-math.inf, init=False, repr=False)
    _writing_s: float = field(default=0.0, init=False, repr=False)

    @property
    def cut_off(self) -> bool:
        """Tell whether a trial was interrupted, or did not come to begin."""
        interrupted = any(row.status == "interrupted" for row in self.rows.values())
        return interrupted or len(self.rows) < self.num_trials

    def refuse(self, trial: str, values: dict[str, Any], reason: str) -> None:
        """Take in a trial that cannot be trained at all."""
        self.rows[trial] = Row(trial, values, status="failed", ended=f"failed: {reason}")

    def ranked(self) -> list[Row]:
        """Return the rows from the best to the worst; trials without a value come last."""
        sign = -1 if self.mode == "max" else 1
        return sorted(
            self.rows.values(),
            key=lambda row: (math.isnan(row.best), 0 if math.isnan(row.best) else sign * row.best),
        )

    def pareto(self) -> list[Row]:
        """Return the finished trials that no other beats in both metric and cost, cheapest first.

        The cost is that of a trial's schedule by itself, whoever trained its segments.
        """
        sign = -1 if self.mode == "max" else 1
        finished = [r for r in self.rows.values() if r.status == "finished"]
        front: list[Row] = []
        for row in sorted(finished, key=lambda r: (r.cost_s, sign * r.best)):
            if not math.isnan(row.best) and (not front or sign * row.best < sign * front[-1].best):
                front.append(row)
        return front

    def write_soon(self, folder: Path) -> None:
        """Write `trials.csv`, unless that would take more than a twentieth of the time.

        So a table of 10,000 trials, which is always written whole, costs no more than a small one.
        """
        if time.monotonic() - self._written_s >= _WRITE_PAUSE * self._writing_s:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Write `trials.csv`, aside and renamed."""
        began_s = time.monotonic()
        rows = sorted(self.rows.values(), key=lambda row: row.trial)
        plain = [row.plain(self.metric) for row in rows]
        columns = list(dict.fromkeys(name for row in plain for name in row))
        aside = folder / f".{TABLE}.new"
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(plain)
        os.replace(aside, folder / TABLE)
        self._written_s = time.monotonic()
        self._writing_s = self._written_s - began_s


class Journal:
    """Which segments each trial visited, and which of them it trained: a line for each.

    A search that goes on replays its trials; here it finds who paid for what. A search that is
    killed leaves at most one segment of each trial trained but not written down: it is the first
    that the trial finds in the store although nobody here trained it. What was trained for a trial
    beside another one is `given`, and its own once it comes there.
    """

    def __init__(self, folder: Path) -> None:
        """Read what an earlier run wrote; a line cut off by its end is left out, and ended."""
        self._path = folder / JOURNAL
        self._visits: dict[str, dict[str, str]] = {}
        self.num_given = 0
        """Segments that trials were given and did not come to so far."""
        end_last_line(self._path)
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                trial, key, how = (*line.split(" "), "", "")[:3]
                if how in _HOW:
                    self._take(trial, key, sys.intern(how))
        self._cut_off = set(self._visits)

    def trained(self, trial: str, key: str, *, reused: bool) -> bool:
        """Tell whether `trial` trained the segment, in this run or an earlier one; note it."""
        how = self._visits.get(trial, {}).get(key)
        if how is None:
            in_flight = reused and trial in self._cut_off and not self._owned(key)
            self._cut_off.discard(trial)
            how = _TRAINED if in_flight or not reused else _REUSED
            self._note(trial, key, how)
        elif how == _GIVEN:
            how = _TRAINED
            self._note(trial, key, how)
        return how == _TRAINED

    def given(self, trial: str, key: str) -> None:
        """Note that `trial`, which has not come there yet, got the segment beside another one."""
        if key not in self._visits.get(trial, {}):
            self._note(trial, key, _GIVEN)

    def _note(self, trial: str, key: str, how: str) -> None:
        self._take(trial, key, how)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{trial} {key} {how}\n")

    def _take(self, trial: str, key: str, how: str) -> None:
        known = self._visits.setdefault(trial, {})
        self.num_given += (how == _GIVEN) - (known.get(key) == _GIVEN)
        known[key] = how

    def _owned(self, key: str) -> bool:
        return any(visits.get(key, _REUSED) != _REUSED for visits in self._visits.values())


def write_search(folder: Path, facts: dict[str, Any]) -> None:
    """Write `search.json`: what was searched, with which options, into which store."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{SEARCH}.new"
    aside.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    os.replace(aside, folder / SEARCH)


def read_search(folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return `search.json` and the rows of `trials.csv`; raise `UserError` where they are none."""
    facts = read_facts(folder, "search")
    lacking = {"metric", "mode", "options"} - set(facts)
    if lacking:
        raise UserError(f"{folder}: {SEARCH} is damaged (it lacks {', '.join(sorted(lacking))})")
    return facts, read_rows(folder, facts["metric"])


def count(rows: Iterable[Row]) -> dict[str, int]:
    """Return status -> number of trials."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    return counts


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _number(value: float) -> float | str:
    return "" if math.isnan(value) else round(value, 6)
