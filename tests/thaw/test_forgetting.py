"""An ended trial takes little memory, and Tune still has what its tables show."""

import json
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.registry import register_trainable

from thaw.forgetting import Forgetting
from trainables.slot import TRIAL

RESULTS = [{"val_accuracy": 0.5, "val_loss": 2.0}, {"val_accuracy": 0.9, "val_loss": 1.0}]


@pytest.fixture()
def ended(tmp_path: Any) -> Trial:
    register_trainable("forgotten", lambda config: None)
    trial = Trial("forgotten", config={TRIAL: "a long schedule " * 1000, "lr": 0.1}, stub=True)
    for iteration, result in enumerate(RESULTS, 1):
        trial.update_last_result(
            {**result, "training_iteration": iteration, "config": trial.config}
        )
    return trial


def test_what_the_tables_show_stays(ended: Trial) -> None:
    Forgetting("val_accuracy").on_trial_complete(2, [ended], ended)
    assert ended.last_result["val_accuracy"] == 0.9
    assert ended.last_result["val_loss"] == 1.0
    assert ended.config["lr"] == 0.1
    assert ended.metric_analysis["val_accuracy"]["max"] == 0.9
    assert ended.metric_analysis["val_accuracy"]["min"] == 0.5


def test_the_schedule_and_other_extremes_go(ended: Trial) -> None:
    before = len("".join(ended.get_json_state()))
    Forgetting("val_accuracy").on_trial_complete(2, [ended], ended)
    after = "".join(ended.get_json_state())
    assert "a long schedule" not in after
    assert len(after) < before / 4
    assert "val_loss" not in json.dumps(ended.metric_analysis)
