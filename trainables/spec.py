"""A trial as a file: which system, which task, which schedule."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationInfo, field_validator

from trainables import trust
from trainables.systems import own_metric, system
from training.config import Config
from training.errors import UserError
from training.plain_files import read_yaml
from training.rules import ACCURACY
from training.schedule import Facts, Schedule
from training.settings import Place
from training.task import Task, check, facts_of


class TrialSpec(Config):
    """Everything that decides a trial but the machine it runs on."""

    system: str
    """Which of the systems is trained."""
    task: dict[str, Any] = Field(default_factory=dict)
    """Configuration of the task; the system's module says which fields it has."""
    schedule: Schedule

    @field_validator("schedule")
    @classmethod
    def _measured(cls, schedule: Schedule, info: ValidationInfo) -> Schedule:
        """Name the system's own metric where rules name none, if it is not the usual one."""
        if "system" not in info.data:  # which is what will be said
            return schedule
        metric = own_metric(info.data["system"])
        return schedule if metric == ACCURACY else schedule.measured_by(metric)

    def with_schedule(self, schedule: Schedule) -> TrialSpec:
        """Return the trial with another schedule."""
        return TrialSpec(system=self.system, task=self.task, schedule=schedule)

    @classmethod
    def read(cls, path: str) -> TrialSpec:
        """Read a YAML file; raise `UserError` that names the file and the field.

        A Python file that it names as its system must be one that was run before: see `trust`.
        """
        data = read_yaml(Path(path))
        if not isinstance(data, dict):
            raise UserError(f"{path}: must hold the fields system, task and schedule")
        named = data.get("system", "")
        if not isinstance(named, str):  # bytes would become text when they are parsed: too late
            raise UserError(f"{path}: system: {named!r} is no text")
        trust.check(named, path)
        spec = cls.parse(data, path)
        spec.config(path)
        return spec

    def yaml(self) -> str:
        """Return the text of a YAML file that `read` takes."""
        data = {
            "system": self.system,
            "task": self.config().model_dump(mode="json"),
            "schedule": self.schedule.plain(),
        }
        return yaml.safe_dump(data, sort_keys=False)

    def config(self, where: str = "") -> Config:
        """Return the validated configuration of the task."""
        place = f"{where}: task" if where else "task"
        return system(self.system).Settings.parse(self.task, place)

    def build_task(self) -> Task:
        """Return the task; one object for each configuration and process."""
        return _build_task(self.system, json.dumps(self.task, sort_keys=True))

    def facts(self, place: Place) -> Facts:
        """Return the facts of the task at `place`, after a check that the schedule fits them."""
        facts = facts_of(self.build_task(), seed=self.schedule.seed, place=place)
        self.check(facts)
        return facts

    def check(self, facts: Facts) -> None:
        """Raise `UserError` where the schedule does not fit its task, of which `facts` are."""
        check(self.build_task(), self.schedule, facts)


@lru_cache(maxsize=4)
def _build_task(name: str, config: str) -> Task:
    module = system(name)
    return module.build(module.Settings.parse(json.loads(config), "task"))
