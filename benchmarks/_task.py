"""A study with its task, and the outcome of every segment that anybody asks for.

What is trained for one search is kept, so that no other computes it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from benchmarks._recording import Metrics, Recording, name_of
from search_spaces.dimensions import Ask
from search_spaces.study import Study, config_of
from thaw.plan import draw
from thaw.proposer import Proposer
from trainables.spec import TrialSpec
from training.budget import prune
from training.keys import Step
from training.record import Record
from training.schedule import Schedule
from training.settings import Place
from training.store import Store
from training.trainer import Trainer
from training.walk import foresee

_SEED = 0
_STATES_BYTES = 4 * 10**9


class Task:
    """A study with its task, which is trained in this process on one thread."""

    def __init__(
        self,
        study: Study,
        folder: str,
        recording: Recording | None = None,
        task: Mapping[str, Any] | None = None,
    ) -> None:
        """Train what is not in `recording` into a store in `folder`; `task` configures the task."""
        self._fields = dict(task or {})
        self._config = config_of(study, self._fields)
        self.study = study.sized(self._config)
        self._store = Store(folder)
        self._recording = recording
        first = self.any_spec()
        self.facts = first.facts(Place())
        self._trainer = Trainer(
            first.build_task(),
            root=self.facts.root,
            seed=_SEED,
            store=self._store,
            place=self.facts.place,
        )
        self.outcomes: dict[str, Metrics] = {}
        """Name in a recording -> metrics, of all segments that were asked for."""
        self.num_trained = 0
        """Segments trained here and now."""

    def schedule(self, values: Mapping[str, Any]) -> Schedule:
        """Return the schedule that values of the study mean."""
        return self.ask(optuna.trial.FixedTrial(dict(values)))

    def ask(self, trial: optuna.trial.BaseTrial) -> Schedule:
        """Ask `trial` for the values of a schedule, and return it."""
        return self.study.space(Ask(trial, {}), self._config, _SEED)

    def spec(self, schedule: Schedule) -> TrialSpec:
        """Return the whole trial of a schedule."""
        return TrialSpec(system=self.study.system, task=self._fields, schedule=schedule)

    def any_spec(self) -> TrialSpec:
        """Return some trial of the study."""
        return self.spec(self.schedule(draw(self.study, self._config, {}, 1, _SEED)[0]))

    def proposer(self) -> Proposer:
        """Return what makes proposals of Optuna's trials."""
        return Proposer(self.study, self._config, {}, self.any_spec(), self.facts)

    def keys(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys of a whole trial."""
        return foresee(self.schedule(values), self.facts)

    def train(self, path: Sequence[Step]) -> Record:
        """Return the record of the last segment of `path`, whoever trained it."""
        record = self._store.record(path[-1].key) or self._recorded(path)
        if record is None:
            record = self._trainer.train(path)
            self.num_trained += 1
        self.outcomes[name_of(path)] = {
            self.study.metric: record.metrics[self.study.metric],
            "train_loss": float(f"{record.metrics['train_loss']:.3g}"),  # tells divergence only
        }
        return record

    def tidy(self) -> None:
        """Drop states that are not likely to be gone on from; records stay."""
        if self.num_trained:
            prune(self._store, _STATES_BYTES)

    def _recorded(self, path: Sequence[Step]) -> Record | None:
        step = path[-1]
        metrics = self._recording.metrics(path) if self._recording is not None else None
        if metrics is None:
            return None
        return Record(
            key=step.key,
            parent=path[-2].key if len(path) > 1 else self.facts.root,
            index=step.settings.index,
            data=step.settings.data,
            metrics=metrics,
            num_steps=step.settings.num_steps,
            lr_first=step.settings.lrs[0],
            lr_last=step.settings.lrs[-1],
            world_size=1,
            train_s=0.0,
            eval_s=0.0,
            restore_s=0.0,
        )
