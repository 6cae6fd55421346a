"""The plan of a system with two models: costs of strategies, hours of each model."""

import json
from typing import Any

import pytest

from tests.thaw.helpers import Thaw


def test_the_plan_prints_the_cost_table_of_the_source(thaw: Thaw, tmp_path: Any) -> None:
    sets = [arg for name in ("identities=8", "images=2") for arg in ("--set", name)]
    store = ("--store", tmp_path / "store")
    code, out, err = thaw("plan", "cyclic_lambda", "--preset", "full", "--trials", 2, *sets, *store)
    assert code == 0, err
    rows = [" ".join(line.split()) for line in out.splitlines()]
    for row in (
        "no cycle 100 ep, 10 h 35 ep, 3 h 13 h",
        "cyclic, 1 cycle 130 ep, 13 h 55 ep, 5 h 18 h",
        "full retrain, 1 cycle 200 ep, 20 h 70 ep, 6 h 26 h",
        "full retrain, 2 cycles 300 ep, 30 h 105 ep, 9 h 39 h",
    ):
        assert row in rows, out


def test_hours_of_each_model_may_be_given(thaw: Thaw, tmp_path: Any) -> None:
    arguments = ("plan", "cyclic_lambda", "--trials", 1, "--json", "--store", tmp_path / "store")
    code, out, err = thaw(*arguments, "--hours-per-epoch", "dsr=2,edgeface=0.5")
    assert code == 0, err
    cost = {row["name"]: row for row in json.loads(out)["costs"]}["no cycle"]
    dsr, edgeface = (cost["models"][model] for model in ("dsr", "edgeface"))
    assert dsr["hours"] == 2 * dsr["epochs"] and edgeface["hours"] == 0.5 * edgeface["epochs"]
    assert cost["hours"] == dsr["hours"] + edgeface["hours"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dsl=1", "unknown model in --hours-per-epoch: 'dsl' (did you mean 'dsr'?)"),
        ("long", "--hours-per-epoch 'long': must be a number of at least 0"),
        ("dsr=-1", "--hours-per-epoch '-1': must be a number of at least 0"),
        ("nan", "--hours-per-epoch 'nan': must be a number of at least 0"),
    ],
)
def test_wrong_hours_are_named(text: str, message: str, thaw: Thaw) -> None:
    line = thaw.refused("plan", "cyclic_lambda", "--trials", 1, "--hours-per-epoch", text)
    assert line.startswith(message)
