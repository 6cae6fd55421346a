"""`--set key=value`: what goes to the task, what pins a dimension, and what is refused."""

from typing import Any

import pytest

from search_spaces.study import study
from thaw.overrides import split_overrides
from training.errors import UserError

STUDY = study("unfreeze_timing")


@pytest.mark.parametrize(
    ("pairs", "task", "pinned"),
    [
        ([], {}, {}),
        (["model=resnet18"], {"model": "resnet18"}, {}),
        (["image_size=64"], {"image_size": 64}, {}),
        (["head_lr=0.002"], {}, {"head_lr": 0.002}),
        (["full_lr=1e-3"], {}, {"full_lr": 0.001}),
        (["partial_epochs=0"], {}, {"partial_epochs": 0}),
        (["frozen_batchnorm=train"], {}, {"frozen_batchnorm": "train"}),
        (["data=a=b"], {"data": "a=b"}, {}),
        (['layers={"head": "fc", "rest": ".*"}'], {"layers": {"head": "fc", "rest": ".*"}}, {}),
        (["layers=null"], {"layers": None}, {}),
        (["drop_rate=0.1", "unfreeze_epoch=4"], {"drop_rate": 0.1}, {"unfreeze_epoch": 4}),
    ],
)
def test_keys_go_where_they_belong(
    pairs: list[str], task: dict[str, Any], pinned: dict[str, Any]
) -> None:
    assert split_overrides(STUDY.system, STUDY.dimensions, pairs, None) == (task, pinned)


def test_the_data_option_is_a_field_of_the_task() -> None:
    assert split_overrides(STUDY.system, STUDY.dimensions, [], "photos") == ({"data": "photos"}, {})


@pytest.mark.parametrize(
    ("pairs", "data", "message"),
    [
        (["model"], None, "--set 'model': must be key=value"),
        (["=3"], None, "--set '=3': must be key=value"),
        (["model=a", "model=b"], None, "--set model: given twice"),
        (["head_lr=0.002", "head_lr=0.002"], None, "--set head_lr: given twice"),
        (["data=a"], "b", "--set data: given twice"),
        (["hed_lr=1"], None, "unknown key in --set: 'hed_lr' (did you mean 'head_lr'?)"),
        (["image_size=big"], None, "--set: image_size: Input should be a valid integer"),
        (["image_size=4"], None, "--set: image_size: Input should be greater than or equal to 8"),
        (["drop_rate=1"], None, "--set: drop_rate: Input should be less than 1, got 1"),
        (["model=3"], None, "--set: model: Input should be a valid string, got 3"),
        (["unfreeze_epoch=11"], None, "unfreeze_epoch: 11 is not allowed; allowed: a whole number"),
        (["full_lr=quick"], None, "full_lr: 'quick' is not allowed; allowed: a number"),
        (["full_lr=NaN"], None, "full_lr: nan is not allowed; allowed: a number"),
        (["head_lr=0.003"], None, "head_lr: 0.003 is not allowed; allowed: 0.002 | 0.0045 | 0.01"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    pairs: list[str], data: str | None, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        split_overrides(STUDY.system, STUDY.dimensions, pairs, data)
    assert str(caught.value).startswith(message)
