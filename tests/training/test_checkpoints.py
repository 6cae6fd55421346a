"""Weights from outside: the layouts that load, and errors that name the layers."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.helpers import TinyTask, same
from training.checkpoints import load_weights
from training.classification import Classification, ClassifierConfig
from training.errors import UserError

TINY = TinyTask()
HEAD = ("fc.weight", "fc.bias")


def donor(num_classes: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(3)
    return dict(TINY.create(num_classes).state_dict())


def load(data: Any, path: Path, ignore: tuple[str, ...] = ()) -> nn.Module:
    torch.save(data, path)
    torch.manual_seed(4)
    model = TINY.create(2)
    load_weights(model, str(path), ignore=ignore)
    return model


LAYOUTS = {
    "bare": lambda weights: weights,
    "model_state_dict": lambda weights: {"model_state_dict": weights, "epoch": 3},
    "state_dict": lambda weights: {"state_dict": weights, "arch": "resnet"},
    "module prefix": lambda weights: {f"module.{n}": w for n, w in weights.items()},
    "both": lambda weights: {"state_dict": {f"module.{n}": w for n, w in weights.items()}},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_loads(layout: str, tmp_path: Path) -> None:
    model = load(LAYOUTS[layout](donor()), tmp_path / "w.pt")
    same(dict(model.state_dict()), donor())


def test_what_is_ignored_may_have_another_shape_and_stays(tmp_path: Path) -> None:
    given = donor(num_classes=9)
    model = load(given, tmp_path / "w.pt", ignore=HEAD)
    torch.manual_seed(4)
    own = TINY.create(2).state_dict()
    got = model.state_dict()
    same({n: got[n] for n in HEAD}, {n: own[n] for n in HEAD})
    same(*({n: w for n, w in weights.items() if n not in HEAD} for weights in (got, given)))


def test_what_is_ignored_may_be_missing(tmp_path: Path) -> None:
    weights = {name: value for name, value in donor().items() if name not in HEAD}
    assert torch.equal(
        load(weights, tmp_path / "w.pt", ignore=HEAD).get_parameter("layer1.0.conv1.weight"),
        weights["layer1.0.conv1.weight"],
    )


def other_shape(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights | {"layer2.0.conv1.weight": torch.zeros(3, 3)}


def without(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if not name.startswith(prefix)}


MISFITS: dict[str, tuple[Any, str]] = {
    "missing": (lambda w: without("layer3.0.conv1", w), r"missing layer3\.0\.conv1\.weight\."),
    "many": (lambda w: without("layer3", w), r"missing layer3\.\S+, \S+, \S+, \S+ and \d+ more"),
    "unknown": (lambda w: w | {"neck.bias": torch.zeros(1)}, r"unknown neck\.bias\."),
    "shape": (
        other_shape,
        r"shape: layer2\.0\.conv1\.weight is \(3, 3\), the model has \(\d+, \d+,",
    ),
    "head": (lambda w: donor(9), r"of other shape: fc\.weight is \(9, 96\), .*fc\.bias is \(9,\)"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_a_misfit_names_the_layers(kind: str, tmp_path: Path) -> None:
    change, message = MISFITS[kind]
    with pytest.raises(UserError, match=message) as error:
        load(change(donor()), tmp_path / "w.pt")
    assert str(tmp_path / "w.pt") in str(error.value)


def test_a_misfit_changes_nothing(tmp_path: Path) -> None:
    torch.save(other_shape(donor()), tmp_path / "w.pt")
    model = TINY.create(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError):
        load_weights(model, str(tmp_path / "w.pt"), ignore=())
    same(dict(model.state_dict()), before)


@pytest.mark.parametrize(
    "data",
    [b"", b"not a checkpoint\n", bytes(1000), b"PK\x03\x04" + bytes(100), b"\x80\x02}q\x00"],
    ids=["empty", "text", "zeros", "torn zip", "torn pickle"],
)
def test_another_file_is_no_checkpoint(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(data)
    with pytest.raises(UserError, match=r"checkpoint .*w\.pt: no plain torch checkpoint"):
        load_weights(TINY.create(2), str(tmp_path / "w.pt"), ignore=())


@pytest.mark.parametrize(
    "data", [3, [torch.zeros(1)], {"a": 1}, {"state_dict": {"a": "b"}}], ids=str
)
def test_a_file_without_tensors_is_refused(data: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no state dict of tensors"):
        load(data, tmp_path / "w.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"checkpoint .*none\.pt: no such file"):
        load_weights(TINY.create(2), str(tmp_path / "none.pt"), ignore=())


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize(
    "save", [torch.save, lambda data, path: path.write_bytes(pickle.dumps(data, protocol=2))]
)
def test_a_pickle_bomb_does_not_go_off(save: Any, tmp_path: Path) -> None:
    save({"fc.weight": Bomb(tmp_path / "harm")}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="no plain torch checkpoint"):
        load_weights(TINY.create(2), str(tmp_path / "w.pt"), ignore=())
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "mobilenetv3_small_050"])
def test_a_task_takes_all_but_the_classifier_from_the_file(name: str, tmp_path: Path) -> None:
    """The layer group `head` holds more than the classifier in some models: that is loaded."""
    plain = Classification(ClassifierConfig(model=name)).build(1)["model"]
    for parameter in plain.parameters():
        parameter.data.add_(0.5)  # norms would begin alike in all models
    torch.save(plain.state_dict(), tmp_path / "w.pt")
    config = ClassifierConfig(model=name, weights=str(tmp_path / "w.pt"))
    model = Classification(config).build(2)["model"]
    classifier = {id(p) for p in model.get_classifier().parameters()}
    expected = plain.state_dict()
    differing = [
        parameter_name
        for parameter_name, parameter in model.named_parameters()
        if id(parameter) not in classifier and not torch.equal(parameter, expected[parameter_name])
    ]
    assert differing == []
