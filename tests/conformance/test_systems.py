"""What every system promises; a new one inherits these tests by its line in `SYSTEMS`."""

import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conformance.helpers import baseline_of, settings_of, task_of, train
from trainables.systems import SYSTEMS, system
from training.config import Config
from training.settings import Place
from training.task import facts_of

every_system = pytest.mark.parametrize("name", SYSTEMS)


def weights(name: str, seed: int) -> dict[str, torch.Tensor]:
    return task_of(name).build(seed).state_dict()


def texts(data: Any) -> Iterator[str]:
    match data:
        case str():
            yield data
        case dict():
            yield from (text for pair in data.items() for item in pair for text in texts(item))
        case list():
            yield from (text for item in data for text in texts(item))


@every_system
def test_its_settings_are_a_config_in_which_every_field_says_what_it_is(name: str) -> None:
    settings = system(name).Settings
    assert issubclass(settings, Config)
    assert [field for field, info in settings.model_fields.items() if not info.description] == []


@every_system
def test_its_task_has_the_name_of_the_system(name: str) -> None:
    assert task_of(name).name == name


@every_system
def test_its_baseline_fits_its_task(name: str) -> None:
    baseline_of(name).check(facts_of(task_of(name), seed=0, place=Place()))


@every_system
def test_its_baseline_takes_the_seed_it_is_given(name: str) -> None:
    module = system(name)
    assert module.baseline(module.Settings(), seed=3).seed == 3


@every_system
def test_its_layers_hold_every_parameter_once(name: str) -> None:
    task = task_of(name)
    models = task.build(0)
    for data in task.num_train():
        task.adapt(models, data, 0)
        for model, layers in task.layers().items():
            held = Counter(parameter for names in layers.values() for parameter in names)
            expected = Counter(parameter for parameter, _ in models[model].named_parameters())
            assert held == expected, f"{model} on {data}"


@every_system
def test_it_builds_the_models_whose_layers_it_names(name: str) -> None:
    models = task_of(name).build(0)
    assert isinstance(models, nn.ModuleDict)
    assert set(models) == set(task_of(name).layers())


@every_system
def test_one_seed_builds_equal_weights(name: str) -> None:
    torch.rand(7)  # whatever was drawn before must not matter
    one, other = weights(name, 0), weights(name, 0)
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@every_system
def test_two_seeds_build_different_weights(name: str) -> None:
    one, other = weights(name, 0), weights(name, 1)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@every_system
def test_each_stage_of_its_baseline_trains_to_finite_metrics(name: str, tmp_path: Path) -> None:
    records = [visit.record for visit in train(name, baseline_of(name), tmp_path)]
    assert len(records) == len(baseline_of(name).stages)
    odd = [
        f"{record.data}: {metric}={value}"
        for record in records
        for metric, value in record.metrics.items()
        if not math.isfinite(value)
    ]
    assert odd == []


@every_system
def test_a_segment_trained_twice_gives_equal_metrics(name: str, tmp_path: Path) -> None:
    once, again = (
        train(name, baseline_of(name), tmp_path / "one"),
        train(name, baseline_of(name), tmp_path / "two"),
    )
    assert [v.record.metrics for v in once] == [v.record.metrics for v in again]


@every_system
def test_its_metrics_have_one_set_of_names(name: str, tmp_path: Path) -> None:
    names = {tuple(visit.record.metrics) for visit in train(name, baseline_of(name), tmp_path)}
    assert len(names) == 1, names
    assert "train_loss" in names.pop(), "the core tells by it whether a trial diverged"


@every_system
def test_its_identity_is_json_without_paths(name: str) -> None:
    identity = task_of(name).identity()
    assert json.loads(json.dumps(identity, allow_nan=False)) == identity
    assert [text for text in texts(identity) if os.sep in text] == []


@every_system
def test_its_fingerprint_does_not_change_from_object_to_object(name: str) -> None:
    module = system(name)
    assert module.build(settings_of(name)).fingerprint() == task_of(name).fingerprint()


@every_system
def test_its_facts_are_hashable(name: str) -> None:
    facts = facts_of(task_of(name), seed=0, place=Place())
    assert hash(facts) == hash(replace(facts))
