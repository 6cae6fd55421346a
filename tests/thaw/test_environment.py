"""What the processes of a search on a cluster find in their environment."""

import json

import pytest
from ray.job_config import JobConfig
from ray.runtime_env.runtime_env import _merge_runtime_env

from thaw.cluster import _ENVIRONMENT, _JOB, _environment
from thaw.submit import Submission
from training.trouble import PATIENCE


def test_patience_goes_with_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_JOB, raising=False)
    monkeypatch.delenv(PATIENCE, raising=False)
    assert _environment() == _ENVIRONMENT
    monkeypatch.setenv(PATIENCE, "5")
    assert _environment() == _ENVIRONMENT | {PATIENCE: "5"}


@pytest.mark.parametrize("more", [{}, {"RAY_TRAIN_V2_ENABLED": "1"}])
def test_what_a_job_has_set_is_not_set_again(
    more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray merges the two, and gives up where a name is in both."""
    monkeypatch.setenv(PATIENCE, "5")
    sent = Submission(address="http://head", name="n", arguments=("x",), working_dir=".")
    job = {"runtime_env": {"env_vars": sent.env_vars | more}}
    monkeypatch.setenv(_JOB, json.dumps(job))
    injected = JobConfig.from_json(job).runtime_env
    merged = _merge_runtime_env(injected, {"env_vars": _environment()})
    assert merged is not None, "Ray refuses them together"
    assert merged["env_vars"] == _ENVIRONMENT | sent.env_vars | more
