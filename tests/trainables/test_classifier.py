"""The baseline of the classifier: it fits every kind of backbone."""

import pytest

from trainables.classifier import FULL, PLAYBOOK, baseline
from training.classification import Classification, ClassifierConfig
from training.settings import Place
from training.task import facts_of


@pytest.mark.parametrize(
    ("model", "groups"),
    [
        ("test_resnet", PLAYBOOK),
        ("resnet18", PLAYBOOK),
        ("cspresnet50", FULL),
        ("test_convnext", FULL),
        ("test_vit", FULL),
    ],
)
def test_the_baseline_fits_the_layer_groups(model: str, groups: dict[str, float | str]) -> None:
    config = ClassifierConfig(model=model)
    schedule = baseline(config, seed=0)
    schedule.check(facts_of(Classification(config), seed=0, place=Place()))
    assert schedule.stages[-1].groups == groups


def test_own_data_has_no_pretraining() -> None:
    stages = baseline(ClassifierConfig(data="photos"), seed=0).stages
    assert [stage.name for stage in stages] == ["head", "full"]
