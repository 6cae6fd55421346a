"""All tables of the report, computed from the logs; text and plots are made from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pandas as pd

from analysis.diminishing.ahead import Ahead, look_ahead
from analysis.diminishing.drawn import drawn_table, mean_curve
from analysis.diminishing.lengths import cost_table, recommendations_table
from analysis.diminishing.options import Options
from analysis.diminishing.patterns import groups_table, patterns_table
from analysis.diminishing.phases import (
    Totals,
    checkpoints_table,
    gains_of,
    marginal_table,
    phases_table,
    totals_of,
)
from analysis.diminishing.plan import Plan, settle
from analysis.diminishing.retuned import Retuned, retuned
from analysis.diminishing.runs import STOPPED, label_names, runs_table
from analysis.logs import LogError, Logs
from analysis.metrics import choose_metric, direction, unit_of
from analysis.selection import select


@dataclass(frozen=True)
class Tables:
    """The tables, in the unit of the logs, and the plan that they follow."""

    plan: Plan
    totals: Totals
    runs: pd.DataFrame
    phases: pd.DataFrame
    checkpoints: pd.DataFrame
    marginal_gains: pd.DataFrame
    patterns: pd.DataFrame
    groups: pd.DataFrame
    recommendations: pd.DataFrame
    cost_benefit: pd.DataFrame
    forecasts: pd.DataFrame
    unused: pd.DataFrame
    retuned: Retuned
    drawn: pd.DataFrame
    mean_curve: pd.DataFrame
    ahead: Ahead
    notes: tuple[str, ...]

    def files(self) -> dict[str, pd.DataFrame]:
        """Return the tables that are written as CSV, by the names of their files."""
        kept = ("plan", "totals", "retuned", "drawn", "mean_curve", "ahead", "notes")
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in kept}
        if self.retuned.envelope.empty:
            return found
        return found | {"envelope": self.retuned.envelope, "wrong_choices": self.retuned.costs}

    def num(self, state: str) -> int:
        """Return how many runs are in a state."""
        return int((self.runs["state"] == state).sum())


def compute(logs: Logs, options: Options) -> Tables:
    """Return the tables; raise `LogError` where logs or options do not allow a report."""
    options = _grouped(options, tuple(label_names(logs)))
    metric, others = choose_metric(logs.points, options.metric)
    curves = select(logs.points, logs.runs.index, metric, options.smooth)
    most = int(curves.num_points().max())
    if options.smooth > most:
        raise LogError(
            f"--smooth {options.smooth}: more than the {most} evaluations of the longest run"
        )
    mode = direction(metric, options.mode)
    unit = unit_of(metric, curves.values)
    plan = settle(options, metric, others, mode, unit, curves, _stopped(logs))
    runs = runs_table(logs, curves, plan)
    gains = gains_of(curves, runs, plan)
    totals = totals_of(gains, plan)
    checkpoints = checkpoints_table(curves, runs, plan)
    patterns = patterns_table(curves, runs, plan)
    ahead = look_ahead(logs, runs, checkpoints["run"].tolist(), plan)
    return Tables(
        plan=plan,
        totals=totals,
        runs=runs,
        phases=phases_table(totals, plan),
        checkpoints=checkpoints,
        marginal_gains=marginal_table(curves, runs, gains, plan),
        patterns=patterns,
        groups=groups_table(patterns, gains, runs, plan),
        recommendations=recommendations_table(totals, gains, runs, options.groups, plan),
        cost_benefit=cost_table(totals, gains, plan),
        forecasts=ahead.table,
        unused=pd.DataFrame([vars(file) for file in logs.unused], columns=["file", "reason"]),
        retuned=retuned(logs, runs, plan),
        drawn=drawn_table(curves, runs, checkpoints["run"], plan),
        mean_curve=mean_curve(curves, gains.complete),
        ahead=ahead,
        notes=logs.notes,
    )


def _stopped(logs: Logs) -> frozenset[str]:
    status = logs.runs["status"]
    return frozenset(map(str, status.index[status.isin(STOPPED)]))


def _grouped(options: Options, labels: tuple[str, ...]) -> Options:
    wrong = [name for name in options.groups if name not in labels]
    if wrong:
        found = ", ".join(labels) or "none; --labels or --table give some"
        raise LogError(f"--groups: unknown label {wrong[0]!r}; found: {found}")
    return replace(options, groups=options.groups or labels)
