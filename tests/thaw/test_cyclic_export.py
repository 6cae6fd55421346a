"""What `thaw best` writes of two models says which faces they know; a search knows its own data."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from tests.thaw.cyclic_results import TASK
from tests.thaw.helpers import FACTS
from thaw.export import write_model
from thaw.resume import check_same
from trainables.spec import TrialSpec
from training.cyclic import Cyclic
from training.cyclic_config import CyclicConfig
from training.errors import UserError
from training.schedule import Schedule, Stage
from training.store import Store
from training.walk import UNKNOWN

SCHEDULE = Schedule(stages=(Stage(name="dsr", model="dsr", epochs=1, lr=1e-3),))


def test_an_exported_dsr_is_refused_on_other_faces(tmp_path: Path) -> None:
    spec = TrialSpec(system="cyclic", task=TASK, schedule=SCHEDULE)
    task = spec.build_task()
    assert isinstance(task, Cyclic)
    store, key = Store(str(tmp_path / "store")), "a" * 64
    state = {"models": task.build(0).state_dict(), "averaged": None}
    store.publish(replace(UNKNOWN, key=key), state)
    write_model(spec, store, key, tmp_path)
    path = tmp_path / "model.pt"
    assert torch.load(path, weights_only=True)["data_digest"] == task.data_digest
    given = TASK | {"dsr_weights": str(path)}
    Cyclic(CyclicConfig.parse(given)).build(0)
    with pytest.raises(UserError, match=r"trained on other faces .* retrain it in full"):
        Cyclic(CyclicConfig.parse(given | {"data_seed": 1})).build(0)


@pytest.mark.parametrize(("root", "same"), [(FACTS.root, True), (None, True), ("other", False)])
def test_a_search_whose_data_changed_is_not_gone_on_with(
    root: str | None, same: bool, tmp_path: Path
) -> None:
    facts = {"metric": "val_accuracy", "mode": "max", "options": {}}
    facts |= {} if root is None else {"root": root}
    (tmp_path / "search.json").write_text(json.dumps(facts))
    (tmp_path / "trials.csv").write_text("trial\n")
    if same:
        check_same(tmp_path, FACTS)
        return
    with pytest.raises(UserError, match=r"have changed since.*retrain in full, by a new search"):
        check_same(tmp_path, FACTS)


def test_a_search_is_gone_on_with_on_devices_like_its_own(tmp_path: Path) -> None:
    place = asdict(FACTS.place)
    facts = {"metric": "val_accuracy", "mode": "max", "options": {}, "root": FACTS.root}
    (tmp_path / "search.json").write_text(json.dumps(facts | {"place": place}))
    (tmp_path / "trials.csv").write_text("trial\n")
    check_same(tmp_path, FACTS)
    (tmp_path / "search.json").write_text(json.dumps(facts | {"place": place | {"device": "cuda"}}))
    with pytest.raises(UserError, match=r"with device cuda.* would be device cpu.*none of them"):
        check_same(tmp_path, FACTS)
