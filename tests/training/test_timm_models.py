"""Where training starts besides a seed: with whose weights, and images as these want them."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from training.camouflage import Camouflage, CamouflageConfig
from training.classification import Classification, ClassifierConfig
from training.errors import UserError
from training.streets import Streets, StreetsConfig
from training.timm_models import normalisation_of

CPU = torch.device("cpu")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_published_weights_get_images_as_they_were_trained_on() -> None:
    config = ClassifierConfig(model="resnet18", weights="timm")
    assert normalisation_of(config) == IMAGENET
    images = torch.rand(2, 3, 8, 8)
    mean, std = normalisation_of(config).of(3, CPU)
    first, second = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    assert torch.equal((images - mean) / std, (images - first) / second)


def test_a_model_for_one_channel_gets_the_mean_of_the_three() -> None:
    mean, std = normalisation_of(ClassifierConfig(model="resnet18", weights="timm")).of(1, CPU)
    assert (mean, std) == pytest.approx((0.449, 0.226))


@pytest.mark.parametrize("said", [None, {"mean": [0.1], "std": [0.2]}])
def test_a_file_says_how_its_images_are_normalised(said: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "model.pt")
    torch.save({"model_state_dict": {}} | ({"normalisation": said} if said else {}), path)
    found = normalisation_of(ClassifierConfig(weights=path)).of(1, CPU)
    assert found == ((0.1, 0.2) if said else (0.5, 0.25))


@pytest.mark.parametrize(
    "said",
    [{"mean": [0.1]}, {"mean": ["a"], "std": [1]}, {"mean": [0.1], "std": [0.0]}, 3],
    ids=str,
)
def test_a_normalisation_that_is_none_is_refused(said: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "model.pt")
    torch.save({"model_state_dict": {}, "normalisation": said}, path)
    with pytest.raises(UserError, match=r"model\.pt: normalisation: must have numbers as mean"):
        normalisation_of(ClassifierConfig(weights=path))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Classification(ClassifierConfig(weights="timm")),
        lambda: Camouflage(CamouflageConfig(weights="timm", image_size=32)),
        lambda: Streets(StreetsConfig(encoder="tu-test_resnet", weights="imagenet")),
    ],
    ids=["classifier", "camouflage", "streets"],
)
def test_other_weights_under_the_same_name_are_another_start(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, known = make().identity(), timm.get_pretrained_cfg

    def other(*args: Any, **options: Any) -> Any:
        found = known(*args, **options)
        return type(found)(**{**vars(found), "tag": "new_in1k"})

    monkeypatch.setattr(timm, "get_pretrained_cfg", other)
    assert make().identity() != before


def test_encoders_of_the_other_library_are_named_by_what_it_loads() -> None:
    names = [
        Streets(StreetsConfig(encoder=encoder, weights="imagenet")).identity()["imagenet"]
        for encoder in ("resnet18", "mit_b0")
    ]
    assert all("imagenet" in name for name in names) and names[0] != names[1]
