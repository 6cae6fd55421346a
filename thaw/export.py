"""A state of the store as files that other tools read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from analysis.files import write_text
from thaw.results import SCHEDULE
from trainables.spec import TrialSpec
from trainables.systems import system
from training.checkpoints import DATA_DIGEST, EPOCH, ITERATIONS, NORMALISATION
from training.errors import UserError
from training.record import Record
from training.store import Store

MODEL = "model.pt"


def write_model(spec: TrialSpec, store: Store, key: str, out: Path) -> str:
    """Write `schedule.yaml` and `model.pt`: the weights under `model_state_dict`, and the `epoch`.

    What the starting weights had counts, where the system says. The averaged weights are taken
    where there are any. Returns a line that says so. Raises `UserError` where the store no longer
    holds the state.
    """
    state = store.state(key)
    if state is None:
        raise UserError(
            f"store {store.url}: the state {key[:12]} is missing or damaged; "
            "`thaw train` on the schedule makes it again"
        )
    averaged = state["averaged"]
    names = {name.partition(".")[0] for name in state["models"]}
    weights = {
        name: {
            parameter.partition(".")[2]: value
            for parameter, value in state["models"].items()
            if parameter.startswith(f"{name}.")
        }
        for name in names
    }
    if averaged is not None:
        weights[spec.schedule.stages[-1].model] = averaged
    single = weights["model"] if names == {"model"} else weights
    out.mkdir(parents=True, exist_ok=True)
    aside = out / f".{MODEL}.new"
    aside.unlink(missing_ok=True)  # it may be a link to somewhere else
    facts = _trained(spec, store, key) | _data_digest(spec) | _normalisation(spec)
    torch.save({"model_state_dict": single, "key": key, **facts}, aside)
    os.replace(aside, out / MODEL)
    write_text(out / SCHEDULE, spec.yaml())
    return f"wrote {out / SCHEDULE} and {out / MODEL}"


def _trained(spec: TrialSpec, store: Store, key: str) -> dict[str, Any]:
    """Return for how long the model was trained, with what its starting weights had."""
    record = store.record(key)
    if record is None:
        return {}
    own = {EPOCH: record.index + 1}
    offer = getattr(system(spec.system), "trained_before", None)
    before: dict[str, int] = {} if offer is None else offer(spec.config())
    if ITERATIONS in before and (steps := _num_steps(store, record)) is not None:
        own[ITERATIONS] = steps
    return {name: number + before.get(name, 0) for name, number in own.items()}


def _num_steps(store: Store, record: Record | None) -> int | None:
    """Return the optimizer steps up to a segment; None where the store lacks some before it."""
    steps = 0
    while record is not None:
        steps += record.num_steps
        if record.index == 0:
            return steps
        record = store.record(record.parent)
    return None


def _normalisation(spec: TrialSpec) -> dict[str, dict[str, list[float]]]:
    """Return what images in [0, 1] are normalised by, where the system says."""
    offer = getattr(system(spec.system), NORMALISATION, None)
    if offer is None:
        return {}
    mean, std = offer(spec.config())
    return {NORMALISATION: {"mean": list(mean), "std": list(std)}}


def _data_digest(spec: TrialSpec) -> dict[str, str]:
    """Return what names the data, where the task has a name for it apart from its fingerprint."""
    if not hasattr(system(spec.system).build, DATA_DIGEST):
        return {}
    task: Any = spec.build_task()
    return {DATA_DIGEST: task.data_digest}
