"""The table of runs: how far each one got, its best and last values, and whether it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.diminishing.plan import Plan
from analysis.logs import LogError, Logs
from analysis.noise import median_sd, noise_sd
from analysis.selection import Curves, indices_at, select, values_at
from analysis.steps import shown_step

Floats = npt.NDArray[np.float64]
COMPLETE, INCOMPLETE, RUNNING = "complete", "incomplete", "running"
CENSORED, NO_VALUES, PENDING, FAILED = "censored", "no values", "pending", "failed"
STATES = (COMPLETE, RUNNING, INCOMPLETE, CENSORED, FAILED, NO_VALUES, PENDING)
"""Only complete runs enter means."""

_LABEL = "label:"
_READ_OFF = ("first_step", "last_step", "best", "peak_step", "last", "robust_last")
_COLUMNS = (
    "run status num_points not_finite at_target state remark configuration peak_at_end pattern "
    "evidence kind files first_step last_step best peak_step last robust_last noise_sd"
)
_TAKEN = frozenset(_COLUMNS.split())
"""Names of columns, which a label must not take."""
STOPPED = frozenset({"stopped", "pruned"})
_SEEDS = frozenset({"seed", "random_seed", "rng_seed", "repeat", "replicate", "rep", "fold"})


def runs_table(logs: Logs, curves: Curves, plan: Plan) -> pd.DataFrame:
    """Return a row for each run, in the order of `curves`, then the planned ones without a log.

    Columns: the labels, status, num_points, not_finite, first_step, last_step, best, peak_step,
    last, robust_last (median of the last 3 to 5), noise_sd, at_target, state, remark,
    configuration, then what the logs say of the run. Of smoothed curves `noise_sd` is that of the
    median of so many of its evaluations; a little more at both ends, where they are fewer.
    """
    said = logs.runs.reindex(list(curves.runs)).reset_index(drop=True)
    indices = indices_at(curves, np.array([plan.target]), plan.options.tolerance)
    status = said["status"].fillna("").astype(str) if "status" in said else ""
    known = pd.DataFrame({"run": pd.Series(curves.runs, dtype=str)})
    known = pd.concat([known, _labels(logs, said)], axis=1).assign(status=status)
    table: pd.DataFrame = pd.concat([known, _read_off(curves, plan)], axis=1)
    table["noise_sd"] = _noise(logs, curves, plan)
    table["at_target"] = values_at(curves, indices)[:, 0]
    table["state"], table["remark"] = _states(table, plan)
    table["configuration"] = configurations(logs, curves.runs, plan.options.clusters)
    rest = [c for c in said.columns if not str(c).startswith(_LABEL) and c not in table]
    table = pd.concat([table, said[rest]], axis=1)
    whole = [name for name in table.columns if pd.api.types.is_integer_dtype(table[name])]
    pending = _pending(plan.options.planned, set(curves.runs), label_names(logs))
    later = {run: labels for run, labels in logs.planned.items() if run not in set(curves.runs)}
    pending = pd.concat([pending, _later(later, set(pending["run"]))], ignore_index=True)
    return pd.concat([table.astype(dict.fromkeys(whole, "Int64")), pending], ignore_index=True)


def label_names(logs: Logs) -> dict[str, str]:
    """Return how a label is called in the tables -> its column in the logs.

    It is its own name, with `_label` where that is the name of another column.
    """
    columns = [str(column) for column in logs.runs.columns if str(column).startswith(_LABEL)]
    names = [column.removeprefix(_LABEL) for column in columns]
    return {
        f"{name}_label" if name in _TAKEN else name: column
        for name, column in zip(names, columns, strict=True)
    }


def configurations(
    logs: Logs, runs: tuple[str, ...], labels: tuple[str, ...]
) -> npt.NDArray[np.int64]:
    """Return a number for each run: runs that differ in nothing but their seed share it.

    `labels` names what makes up a configuration; else it is all labels and hyperparameters but the
    seed. A run of which nothing is known is its own. Raise `LogError` for an unknown name.
    """
    known = {str(c).partition(":")[2]: c for c in logs.runs.columns if ":" in str(c)}
    wrong = [name for name in labels if name not in known]
    if wrong:
        raise LogError(f"--clusters: unknown label {wrong[0]!r}; found: {', '.join(known) or '-'}")
    chosen = labels or [name for name in known if name.lower() not in _SEEDS]
    facts = logs.runs.reindex(list(runs))[[known[name] for name in chosen]].astype("object")
    own = np.arange(len(facts)) + len(facts)
    if not chosen:
        return own
    blank = facts.isna() | (facts == "")
    texts = facts.where(~blank, "").astype(str)
    numbers = texts.groupby(list(texts.columns), sort=False).ngroup().to_numpy(np.int64)
    return np.where(blank.all(axis=1), own, numbers)


def _labels(logs: Logs, said: pd.DataFrame) -> pd.DataFrame:
    found = {name: said[column].astype("object") for name, column in label_names(logs).items()}
    return pd.DataFrame({name: c.where(c.notna(), "").astype(str) for name, c in found.items()})


def _read_off(curves: Curves, plan: Plan) -> pd.DataFrame:
    """Return what a single curve says of itself."""
    rows = [_row(*curves.of(index), plan.sign) for index in range(len(curves.runs))]
    table = pd.DataFrame(rows)
    table.insert(0, "num_points", curves.num_points())
    table.insert(1, "not_finite", curves.num_not_finite)
    return table


def _noise(logs: Logs, curves: Curves, plan: Plan) -> list[float]:
    """Return the noise of the values of each run, told from its evaluations before smoothing."""
    smooth = plan.options.smooth
    single = curves if smooth == 1 else select(logs.points, logs.runs.index, plan.metric)
    every = (single.of(index)[1] for index in range(len(curves.runs)))
    return [noise_sd(values) * median_sd(max(1, min(smooth, len(values)))) for values in every]


def _row(steps: Floats, values: Floats, sign: int) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(_READ_OFF, np.nan)
    best = int(np.argmax(sign * values))
    few = 5 if len(values) >= 10 else 3
    found = (steps[0], steps[-1], values[best], steps[best], values[-1])
    return dict(zip(_READ_OFF, (*found, np.median(values[-few:])), strict=True))


def _states(table: pd.DataFrame, plan: Plan) -> tuple[list[str], list[str]]:
    columns = (table[name] for name in ("status", "num_points", "last_step", "at_target"))
    told = [
        _state(status, num, last, np.isfinite(value), plan)
        for status, num, last, value in zip(*columns, strict=True)
    ]
    return [state for state, _ in told], [remark for _, remark in told]


def _state(status: str, num: int, last: float, reached: bool, plan: Plan) -> tuple[str, str]:
    target = shown_step(plan.target)
    if num == 0:
        return NO_VALUES, f"no finite value of {plan.metric}"
    if status in STOPPED:
        return CENSORED, f"stopped early, at {shown_step(last)}"
    if reached:
        return COMPLETE, "" if status in ("", "finished") else f"its log says {status}"
    ended = f"has values up to {shown_step(last)} of {target}"
    if num == 1:
        ended = f"a single value, at {shown_step(last)}"
    elif last >= plan.target:
        ended = f"no value near {target}; its last is at {shown_step(last)}"
    if status == "running":
        return RUNNING, ended
    if status == "failed":
        return FAILED, ended
    return INCOMPLETE, ended + (f"; its log says {status}" if status else "")


def _later(planned: Mapping[str, Mapping[str, str]], known: set[str]) -> pd.DataFrame:
    """Return rows for the runs of a matrix that have no log."""
    rows = [
        {"run": run, **labels, "state": PENDING, "remark": "of the matrix, no log yet"}
        for run, labels in planned.items()
        if run not in known
    ]
    return pd.DataFrame(rows, columns=None if rows else ["run", "state", "remark"], dtype=str)


def _pending(planned: str | None, known: set[str], labels: Iterable[str]) -> pd.DataFrame:
    """Return rows for the runs of the file `planned` that have no log."""
    if planned is None:
        return pd.DataFrame({"run": [], "state": [], "remark": []}, dtype=str)
    try:
        table = pd.read_csv(Path(planned), dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise LogError(
            f"--planned {planned}: cannot be read ({str(error).splitlines()[0]})"
        ) from None
    if "run" not in table:
        raise LogError(f"--planned {planned}: has no column 'run'")
    kept = ["run", *(label for label in labels if label in table)]
    rest: pd.DataFrame = table.loc[~table["run"].isin(known), kept].drop_duplicates("run")
    return rest.assign(state=PENDING, remark="planned, no log yet").reset_index(drop=True)
