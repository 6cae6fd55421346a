"""Looking ahead: what each run would gain if it went on, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from analysis.diminishing.plan import Plan
from analysis.diminishing.runs import CENSORED, COMPLETE
from analysis.forecasts import forecast_logs
from analysis.logs import Logs

_MOST_TESTED = 200
"""Runs besides, on which forecasts are tested."""
_COLUMNS = (
    "run state seen_step target_step predicted lo80 hi80 expected_gain chance step_of_95 "
    "gain_per_hour last_value log_linear flags"
)


@dataclass(frozen=True)
class Ahead:
    """Forecasts of the runs to one step."""

    table: pd.DataFrame
    step: float
    num_left_out: int
    """Runs that were not forecast, since there are more than `--max-forecasts`."""
    notes: tuple[str, ...]


def look_ahead(logs: Logs, runs: pd.DataFrame, order: Sequence[str], plan: Plan) -> Ahead:
    """Forecast the runs that have not got to a step, the first of `order` where they are many.

    Runs that were stopped early are left out: whoever stopped them knew that they were poor, and a
    forecast does not. The step is `--ahead`, by default one more phase like the last one.
    """
    facts = runs.set_index("run")
    step = plan.options.ahead or _next_length(facts, plan)
    usable = [name for name in order if facts.at[name, "state"] != CENSORED]
    short = set(facts.index[facts["last_step"] < step])
    names = [name for name in usable if name in short]
    chosen = names[: plan.options.max_forecasts]
    if not chosen:
        return Ahead(pd.DataFrame(columns=_COLUMNS.split()), step, 0, ())
    tested = {*chosen, *usable[:_MOST_TESTED]}
    found = forecast_logs(
        logs.points[logs.points["run"].isin(tested)],
        logs.runs,
        plan.metric,
        maximize=plan.mode == "max",
        to=step,
        min_gain=plan.options.worth,
    )
    table = pd.DataFrame([asdict(run) for run in found.runs]).set_index("run").loc[chosen]
    table["state"] = facts["state"]
    table["flags"] = table["flags"].map(" ".join)
    table = table.reset_index()[_COLUMNS.split()]
    return Ahead(table, step, len(names) - len(chosen), found.notes)


def _next_length(facts: pd.DataFrame, plan: Plan) -> float:
    """Return where complete runs usually end, or the target, and the last phase once more."""
    ended = facts.loc[facts["state"] == COMPLETE, "last_step"].median()
    reached = max(plan.target, ended) if ended == ended else plan.target
    return float(reached + plan.ends[-1] - plan.ends[-2])
