"""The last section: how it was computed, which runs are left out, and which files were not used."""

from __future__ import annotations

import pandas as pd

from analysis.diminishing.runs import COMPLETE, STATES
from analysis.diminishing.summary import joined, left_out
from analysis.diminishing.tables import Tables
from analysis.document import Block, Items, Section, Text
from analysis.noise import MIN_EVALUATIONS
from analysis.shown import counts, grid, steps, words
from analysis.steps import shown_step

_COUNTS = {"num_runs": counts("runs")}


def details_section(tables: Tables) -> Section:
    """Technical details, the runs that enter no mean, notes of the readers, unused files."""
    blocks: list[Block] = [Items(tuple(_facts(tables)))]
    blocks += [grid("states", states_table(tables), {"state": words("state"), **_COUNTS}, 99)]
    rest = tables.runs[tables.runs["state"] != COMPLETE]
    most = tables.plan.options.max_rows
    if len(rest):
        shown = {
            "run": words("run"),
            "state": words("state"),
            "last_step": steps("ends at"),
            "num_points": counts("values"),
            "remark": words("remark"),
        }
        blocks += [Text(f"Not in any mean: {joined(left_out(tables))}.")]
        blocks += [grid("runs", rest.sort_values(["state", "run"]), shown, most)]
    if tables.notes:
        blocks += [Text("What the logs themselves were found to be:"), Items(tables.notes[:most])]
    if len(tables.unused):
        blocks += [Text(f"Not used: {len(tables.unused):,} files.")]
        shown = {"file": words("file"), "reason": words("reason")}
        blocks += [grid("unused", tables.unused, shown, most)]
    return Section("Technical details", tuple(blocks))


def states_table(tables: Tables) -> pd.DataFrame:
    """Return how many runs are in each state, of those that there are."""
    found = {state: tables.num(state) for state in STATES}
    rows = [(state, num) for state, num in found.items() if num]
    return pd.DataFrame(rows, columns=["state", "num_runs"])


def _facts(tables: Tables) -> list[str]:
    plan = tables.plan
    options = plan.options
    scale = " as points, the fractions of the logs times 100" if plan.unit.scale != 1 else ""
    near = (
        "within half of the run's usual interval between evaluations, and within 1% of the step "
        "before its first or past its last"
        if options.tolerance is None
        else f"within {shown_step(options.tolerance)} steps"
    )
    found = [
        f"Metric {plan.metric}, {plan.mode}; shown{scale or ' in the unit of the logs'}.",
        *plan.chosen,
        f"Phases end at {', '.join(map(shown_step, plan.ends))}. The value at a step is that of "
        f"the nearest evaluation {near}; a run without one has no value there.",
        f"A mean is over the complete runs that have both ends of the phase: "
        f"{', '.join(f'{num:,}' for num in tables.totals.num_runs)} runs.",
        f"Intervals: {options.level:g}%, {options.draws:,} bootstrap draws over "
        f"{tables.totals.draws.num_clusters:,} configurations with all of their runs, expanded for "
        f"small numbers, seed {options.seed}; none below 3 configurations.",
        "Noise: the standard deviation of a curve about its own trend; a gain below "
        f"{options.noise:g} of it, times the root of 2, is marked. It is not known of fewer than "
        f"{MIN_EVALUATIONS} evaluations; in a mean such runs count as noisy as the others.",
        "No smoothing."
        if options.smooth == 1
        else f"Medians over {options.smooth} evaluations; "
        "the noise is that of such a median, from the evaluations before.",
    ]
    odd = int(tables.runs["not_finite"].fillna(0).sum())
    if odd:
        runs = int((tables.runs["not_finite"].fillna(0) > 0).sum())
        found.append(f"{odd:,} values of {runs:,} runs are NaN or infinite and were left out.")
    return found
