"""`thaw train` and `thaw best`: what they write is what plain torch and timm read."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from tests.thaw.helpers import Thaw, write_yaml
from thaw.results import Row, Table, write_search
from trainables.spec import TrialSpec
from training.settings import Place
from training.store import Store
from training.walk import foresee

SCHEDULE = """
system: classifier
schedule:
  stages:
  - {name: head, epochs: 1, lr: 0.01, groups: {head: 1.0, '*': frozen}, data_fraction: 0.1}
  - {name: all, epochs: 1, lr: 0.001, data_fraction: 0.1}
"""
DIGITS = 5


@pytest.fixture
def trained(tmp_path: Path, thaw: Thaw) -> Path:
    """The folder of a schedule that `thaw train` has trained, with the model in `out`."""
    path = write_yaml(tmp_path, SCHEDULE)
    code, out, err = thaw("train", path, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert code == 0, err
    assert "finished: 2 segments trained, 0 reused" in out
    return tmp_path


def keys(folder: Path) -> tuple[str, ...]:
    spec = TrialSpec.read(str(folder / "schedule.yaml"))
    return foresee(spec.schedule, spec.facts(Place()))


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


def differing(weights: dict[str, Any], folder: Path, key: str) -> list[str]:
    """Return the tensors of `weights` that are not those of a state in the store."""
    state = Store(str(folder / "store")).state(key)
    assert state is not None
    kept = {name.removeprefix("model."): value for name, value in state["models"].items()}
    assert set(weights) == set(kept)
    return [name for name in weights if not torch.equal(weights[name], kept[name])]


def results(folder: Path, **bests: float) -> Path:
    """Write the results of a search whose trials are the schedule's own segments, by index."""
    out = folder / "results"
    rows = {}
    for number, (name, best) in enumerate(bests.items()):
        key = keys(folder)[number]
        rows[name] = Row(name, {}, "finished", "finished", best, best, key, 1, folder=name)
        (out / name).mkdir(parents=True)
        (out / name / "schedule.yaml").write_text((folder / "schedule.yaml").read_text())
    options = {"store": str(folder / "store")}
    searched = {"metric": "val_accuracy", "mode": "max", "place": asdict(Place())}
    write_search(out, {**searched, "options": options})
    Table("val_accuracy", "max", rows).write(out)
    return out


def test_timm_takes_the_model_that_train_writes(trained: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=DIGITS, in_chans=1)
    model.load_state_dict(load(trained / "out/model.pt")["model_state_dict"])


def test_the_file_says_how_images_are_normalised(trained: Path) -> None:
    assert load(trained / "out/model.pt")["normalisation"] == {"mean": [0.5], "std": [0.25]}


def test_train_writes_the_weights_after_the_last_segment(trained: Path) -> None:
    written = load(trained / "out/model.pt")
    assert written["key"] == keys(trained)[-1]
    assert differing(written["model_state_dict"], trained, keys(trained)[-1]) == []


def test_train_writes_the_schedule_it_trained(trained: Path) -> None:
    mine, written = (
        TrialSpec.read(str(trained / name)) for name in ("schedule.yaml", "out/schedule.yaml")
    )
    assert (written.schedule, written.config()) == (mine.schedule, mine.config())


def test_train_again_trains_nothing_and_writes_the_same(trained: Path, thaw: Thaw) -> None:
    arguments = ("train", trained / "out/schedule.yaml", "--store", trained / "store")
    code, out, err = thaw(*arguments, "--out", trained / "again")
    assert code == 0, err
    assert "finished: 0 segments trained, 2 reused" in out
    assert (trained / "again/model.pt").read_bytes() == (trained / "out/model.pt").read_bytes()


def test_train_shows_a_line_with_values_for_each_segment(trained: Path, thaw: Thaw) -> None:
    _, out, _ = thaw("train", trained / "schedule.yaml", "--store", trained / "store")
    lines = [line.split()[:2] for line in out.splitlines() if "/2 " in line]
    assert lines == [["1/2", "head"], ["2/2", "all"]], out


def test_another_seed_is_another_trial(trained: Path, thaw: Thaw) -> None:
    _, out, _ = thaw("train", trained / "schedule.yaml", "--store", trained / "store", "--seed", 1)
    assert "finished: 2 segments trained, 0 reused" in out


def test_averaged_weights_are_written_where_there_are_any(tmp_path: Path, thaw: Thaw) -> None:
    path = write_yaml(tmp_path, SCHEDULE.replace("lr: 0.001", "lr: 0.001, ema_decay: 0.9"))
    code, _, err = thaw("train", path, "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert code == 0, err
    written = load(tmp_path / "out/model.pt")["model_state_dict"]
    state = Store(str(tmp_path / "store")).state(keys(tmp_path)[-1])
    assert state is not None
    averaged = state["averaged"]
    assert [name for name in written if not torch.equal(written[name], averaged[name])] == []
    assert differing(written, tmp_path, keys(tmp_path)[-1]), "they are the last weights themselves"


def test_best_writes_the_state_that_was_best_and_its_schedule(trained: Path, thaw: Thaw) -> None:
    folder = results(trained, first=0.9, second=0.8)
    code, out, err = thaw("best", folder)
    assert code == 0, err
    assert "trial first: best val_accuracy 0.9000" in out
    written = load(folder / "best/model.pt")
    assert written["key"] == keys(trained)[0]
    assert differing(written["model_state_dict"], trained, keys(trained)[0]) == []
    assert TrialSpec.read(str(folder / "best/schedule.yaml")).schedule.num_epochs == 2


def test_best_writes_where_it_is_told_to(trained: Path, thaw: Thaw) -> None:
    code, _, err = thaw("best", results(trained, first=0.9), "--out", trained / "there")
    assert code == 0, err
    assert sorted(path.name for path in (trained / "there").iterdir()) == [
        "model.pt",
        "schedule.yaml",
    ]


def test_best_passes_over_trials_without_a_value(trained: Path, thaw: Thaw) -> None:
    _, out, _ = thaw("best", results(trained, first=float("nan"), second=0.8))
    assert "trial second: best val_accuracy 0.8000" in out


def test_what_best_writes_can_be_trained_from_the_store(trained: Path, thaw: Thaw) -> None:
    folder = results(trained, first=0.9)
    thaw("best", folder)
    _, out, _ = thaw("train", folder / "best/schedule.yaml", "--store", trained / "store")
    assert "0 segments trained, 2 reused" in out


def test_what_best_writes_can_be_the_starting_weights(trained: Path, thaw: Thaw) -> None:
    weights = f"weights={trained / 'out/model.pt'}"
    arguments = ("train", trained / "schedule.yaml", "--store", trained / "store")
    code, out, err = thaw(*arguments, "--set", weights)
    assert code == 0, err
    assert "finished: 2 segments trained, 0 reused" in out


def test_best_of_a_search_without_values_says_so(trained: Path, thaw: Thaw) -> None:
    folder = results(trained, first=float("nan"))
    assert thaw.refused("best", folder) == f"{folder}: no trial has a value of val_accuracy yet"


def test_best_is_not_written_over_a_file(trained: Path, thaw: Thaw) -> None:
    folder, file = results(trained, first=0.9), trained / "a file"
    file.touch()
    assert f"--out {file}: {file} is no folder" in thaw.refused("best", folder, "--out", file)


def test_nothing_is_written_through_a_link(trained: Path, thaw: Thaw) -> None:
    folder, other = results(trained, first=0.9), trained / "other"
    other.mkdir()
    (other / "file").write_text("mine")
    (folder / "best").symlink_to(other)
    assert thaw.refused("best", folder).startswith(f"{folder / 'best'}: is a link; nothing is")
    (folder / "best").unlink()
    (folder / "best").mkdir()
    (folder / "best" / ".model.pt.new").symlink_to(other / "file")
    code, _, err = thaw("best", folder)
    assert code == 0, err
    assert load(folder / "best" / "model.pt")["model_state_dict"]
    assert [path.read_text() for path in other.iterdir()] == ["mine"]


def test_best_of_a_search_without_trials_says_so(trained: Path, thaw: Thaw) -> None:
    folder = results(trained)
    assert thaw.refused("best", folder) == f"{folder}: no trial has a value of val_accuracy yet"


def test_best_trains_a_state_again_that_is_gone(trained: Path, thaw: Thaw) -> None:
    folder = results(trained, first=0.9)
    key = keys(trained)[0]
    (trained / "store" / key[:2] / key / "state").unlink()
    code, out, err = thaw("best", folder)
    assert code == 0, err
    assert "is trained again" in out
    written = load(folder / "best/model.pt")["model_state_dict"]
    assert differing(written, trained, key) == []


def test_best_says_where_all_is_gone(trained: Path, thaw: Thaw) -> None:
    folder = results(trained, second=0.8, first=0.9)
    shutil.rmtree(trained / "store")
    assert "has no records that lead to" in thaw.refused("best", folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("extend", "--epochs", 2), "--epochs 2: the schedule has 2 epochs already"),
        (("extend", "--epochs", 9, "--lr", 0), "--lr 0: must be greater than 0"),
        (("extend", "--epochs", 9, "--trials", "third"), "allowed: best:N, or names from first"),
        (("extend", "--epochs", 9, "--trials", "best:0"), "no trial 'best:0'"),
        (("confirm", "--seeds", 1), "greater than or equal to 2"),
    ],
)
def test_what_cannot_be_is_told_before_ray_starts(
    trained: Path, thaw: Thaw, arguments: tuple[Any, ...], message: str
) -> None:
    folder = results(trained, first=0.9)
    command, *options = arguments
    assert message in thaw.refused(command, folder, *options)


def test_there_must_be_a_search(tmp_path: Path, thaw: Thaw) -> None:
    for command in (("extend", "--epochs", 9), ("confirm",)):
        assert "no results of a search" in thaw.refused(command[0], tmp_path, *command[1:])
