"""What `summary.json` says: the figures of the report for programs, in the unit of the logs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.diminishing.runs import COMPLETE, STATES
from analysis.diminishing.tables import Tables


def facts(tables: Tables) -> dict[str, Any]:
    """Return plain data; what is not known is None."""
    plan, totals = tables.plan, tables.totals
    low, high = totals.total_interval()
    rest = tables.runs[tables.runs["state"] != COMPLETE]
    return {
        "metric": plan.metric,
        "mode": plan.mode,
        "shown_times": plan.unit.scale,
        "phase_ends": list(plan.ends),
        "target": plan.target,
        "base": plan.base,
        "target_multiple": plan.multiple(plan.target),
        "num_runs": {state: tables.num(state) for state in STATES},
        "total_gain": _plain(totals.total),
        "total_gain_interval": [_plain(low), _plain(high)],
        "interval_level": totals.level,
        "thresholds": {
            "fast_peak": plan.fast_peak,
            "no_gain_after": plan.no_gain_after,
            "slow_peak": plan.slow_peak,
            "shares": list(plan.options.shares),
            "drop": plan.options.drop,
            "noise": plan.options.noise,
            "smooth": plan.options.smooth,
        },
        "phases": records(tables.phases),
        "groups": records(tables.groups),
        "recommendations": records(tables.recommendations),
        "cost_benefit": records(tables.cost_benefit),
        "envelope": records(tables.retuned.envelope),
        "wrong_choices": records(tables.retuned.costs),
        "patterns": {str(k): int(v) for k, v in tables.patterns["pattern"].value_counts().items()},
        "not_counted": records(rest[["run", "state", "remark"]]),
        "chosen": list(plan.chosen),
        "notes": list(tables.notes),
        "unused": records(tables.unused),
    }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dicts of plain values; NaN and what is missing become None."""
    plain = table.astype("object").where(table.notna(), None)
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in plain.to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
