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
from training.checkpoints import DATA_DIGEST, NORMALISATION
from training.errors import UserError
from training.store import Store

MODEL = "model.pt"


def write_model(spec: TrialSpec, store: Store, key: str, out: Path) -> str:
    """Write `schedule.yaml` and `model.pt`: the weights under `model_state_dict`, and the `epoch`.

    Returns a line that says so. The averaged weights are taken where there are any. Raises
    `UserError` where the store no longer holds the state.
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
    record = store.record(key)
    epoch = {} if record is None else {"epoch": record.index + 1}
    data = _data_digest(spec) | _normalisation(spec)
    torch.save({"model_state_dict": single, "key": key, **epoch, **data}, aside)
    os.replace(aside, out / MODEL)
    write_text(out / SCHEDULE, spec.yaml())
    return f"wrote {out / SCHEDULE} and {out / MODEL}"


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
