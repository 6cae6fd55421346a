"""How a search is run, apart from what is searched."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from search_spaces.grid import grid
from search_spaces.study import Study, config_of
from thaw.sampling import GRID
from thaw.sqlite_urls import absolute_sqlite
from training.errors import explain, unknown
from training.hidden import hidden

DEVICES = ("cuda", "cpu")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a search is run; what is searched is the study's."""

    study: str
    """Name of the study, or the path of its file."""
    trials: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    out: str
    store: str
    store_budget: str | None = None
    """Size that the store must fit, such as 20GB; None keeps all states."""
    scheduler: str = "asha"
    rung_by: str = "progress"
    """What the scheduler's rungs compare: `progress`, `last_stage`, `epochs` or `cost`."""
    sampler: str = "tpe"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    pareto: bool = False
    """Search two objectives: the study's metric, and the device-seconds of a schedule."""
    storage: str | None = None
    """URL of Optuna's storage; None is SQLite in the results folder."""
    resume: bool = False
    """Go on with the search in `out`."""
    address: str | None = None
    workers_per_trial: Annotated[int, Field(ge=1)] = 1
    cpus_per_worker: Annotated[float, Field(ge=0.1)] = 1
    gpus_per_trial: Annotated[float, Field(ge=0)] | None = None
    """GPUs of one trial over all its workers; None takes one a worker where the cluster has any."""
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    fuse: Annotated[int, Field(ge=1)] = 1
    """Most trials whose heads are trained in one pass over the frozen backbone; 1 is each alone."""
    worker_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that the nodes of workers must have."""
    hang_after_s: Annotated[float, Field(gt=0)] = 600.0
    device: str | None = None
    """What workers compute on; None is `cuda` where a trial has GPUs, else `cpu`."""
    hours_per_point: float | None = None
    """Device-hours that a point of the metric is worth: trials whose next phase is predicted to
    cost more are ended; None ends none of them so."""

    @classmethod
    def read(cls, plain: Mapping[str, Any], where: str) -> Options:
        """Return the options in `plain`, which `where` holds; raise `UserError` for wrong ones."""
        known = {found.name for found in fields(cls)}
        for name in plain:
            if name not in known:
                raise unknown(f"option in {where}:", str(name), known)
        try:
            return TypeAdapter(cls).validate_python(dict(plain))
        except ValidationError as error:
            raise explain(error, where) from None

    def plain(self) -> dict[str, Any]:
        """Return plain data for `search.json`: paths hold from anywhere, URLs have no secrets."""
        file = self.study.endswith(".py")
        return asdict(self) | {
            "store": hidden(absolute(self.store)),
            "storage": None if self.storage is None else hidden(absolute_sqlite(self.storage)),
            "study": absolute(self.study) if file else self.study,
        }


def absolute(url: str) -> str:
    """Return a path as an absolute one, and a URL as it is."""
    return url if "://" in url else str(Path(url).absolute())


def default_trials(
    study: Study, task: Mapping[str, Any], pinned: Mapping[str, Any], sampler: str
) -> int:
    """Return how many trials a search has where nobody says: those of the grid, or 24."""
    return sum(1 for _ in grid(study, config_of(study, task), pinned)) if sampler == GRID else 24


def default_folder(study: Study) -> str:
    """Return the folder of results where none is named: the study and the time."""
    return f"results/{study.name}-{time.strftime('%Y%m%d-%H%M%S')}"
