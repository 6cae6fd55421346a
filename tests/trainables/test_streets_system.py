"""The system `streets`: a base checkpoint to go on from, and iterations in its results."""

from pathlib import Path
from typing import Any

import pytest
import torch

from thaw.export import write_model
from trainables.slot import Assignment, results
from trainables.spec import TrialSpec
from trainables.streets import Settings, schedule
from training.errors import UserError
from training.settings import Place
from training.store import Store
from training.trainer import Trainer
from training.walk import Visit, walk

QUICK = {
    "encoder": "tu-test_resnet",
    "height": 32,
    "width": 32,
    "base_iterations": 4,
    "validate_every": 2,
}


def spec_of(**task: Any) -> TrialSpec:
    made = schedule(Settings.parse(QUICK | task), seed=0, length=1, curve="poly")
    return TrialSpec(system="streets", task=QUICK | task, schedule=made)


def train(spec: TrialSpec, folder: Path) -> tuple[Store, list[Visit]]:
    facts, store = spec.facts(Place()), Store(str(folder))
    task = spec.build_task()
    trainer = Trainer(task, root=facts.root, seed=0, store=store, place=facts.place)
    return store, list(walk(spec.schedule, facts, store, trainer.train))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A base checkpoint of ours, and what its training reported."""
    folder, spec = tmp_path_factory.mktemp("base"), spec_of()
    store, visits = train(spec, folder / "store")
    write_model(spec, store, visits[-1].record.key, folder)
    trial = Assignment("0000", spec, spec.facts(Place()))
    return folder / "model.pt", list(results(trial, visits))


def test_results_count_iterations(base: tuple[Path, list[dict[str, Any]]]) -> None:
    assert [(row["segment"], row["iterations"]) for row in base[1]] == [(1, 2), (2, 4)]


def test_a_run_goes_on_from_our_base_checkpoint(
    base: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    spec = spec_of(weights=str(base[0]))
    assert spec.schedule.iterations_before == 4, "the checkpoint says how long it was trained"
    weights = torch.load(base[0], weights_only=True)["model_state_dict"]
    built = spec.build_task().build(0)["model"].state_dict()
    assert [name for name, value in weights.items() if not torch.equal(built[name], value)] == []
    _, visits = train(spec, tmp_path)
    rows = results(Assignment("0001", spec, spec.facts(Place())), visits)
    assert [row["iterations"] for row in rows] == [6, 8]


def test_a_third_run_counts_from_both_before_it(
    base: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    spec = spec_of(weights=str(base[0]))
    store, visits = train(spec, tmp_path / "store")
    write_model(spec, store, visits[-1].record.key, tmp_path)
    for every in (2, 4):
        third = Settings.parse(
            QUICK | {"weights": str(tmp_path / "model.pt"), "validate_every": every}
        )
        assert third.begun == 8, f"validated every {every}"


def test_a_checkpoint_that_knows_its_epoch_alone_counts_in_validations(tmp_path: Path) -> None:
    torch.save({"model_state_dict": {}, "epoch": 8}, tmp_path / "old.pt")
    assert Settings.parse(QUICK | {"weights": str(tmp_path / "old.pt")}).begun == 16


def test_a_foreign_checkpoint_is_told_how_long_it_was_trained(tmp_path: Path) -> None:
    state = spec_of().build_task().build(1)["model"].state_dict()
    torch.save(state, tmp_path / "base.pt")
    made = spec_of(weights=str(tmp_path / "base.pt"), resume_iteration=80_000)
    assert made.schedule.iterations_before == 80_000
    assert made.schedule.stages[0].name == "1 x base more"
    made.build_task()


def test_a_checkpoint_of_another_network_is_told(base: tuple[Path, list[dict[str, Any]]]) -> None:
    made = spec_of(weights=str(base[0]), architecture="segformer")
    with pytest.raises(UserError, match="does not fit the model: missing"):
        made.build_task().build(0)


def test_sliding_windows_and_crops_train_and_evaluate(tmp_path: Path) -> None:
    crop = {"height": 64, "width": 64, "crop_height": 32, "crop_width": 32, "colour": 0.3}
    sizes = {}
    for name in ("whole", "sliding"):
        _, visits = train(spec_of(**crop, evaluation=name), tmp_path / name)
        sizes[name] = visits[-1].record.metrics
    assert sizes["whole"]["train_loss"] == sizes["sliding"]["train_loss"]
    assert sizes["whole"]["val_loss"] != sizes["sliding"]["val_loss"]


def test_strategies_change_what_is_trained_and_not_what_is_measured(tmp_path: Path) -> None:
    found = {
        rate: train(spec_of(strategy="poor", rate=rate), tmp_path / str(rate))[1][-1].record
        for rate in (0.0, 1.0)
    }
    without = train(spec_of(), tmp_path / "none")[1][-1].record
    assert found[0.0].metrics == without.metrics, "a rate of 0 is no strategy"
    assert found[1.0].metrics["train_loss"] != without.metrics["train_loss"]
    assert set(found[1.0].metrics) == set(without.metrics)
