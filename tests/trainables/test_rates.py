"""Discriminative learning rates: the numbers of their sources, for any model."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.helpers import layers
from trainables.rates import RATES, geometric, last_blocks, playbook, rates, ulmfit
from training.errors import UserError
from training.layers import match_layers

MODELS = ("test_resnet", "test_convnext", "test_vit")
names = st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=14, unique=True)


def test_the_playbook_has_its_multipliers_for_a_resnet() -> None:
    assert playbook(layers("test_resnet")) == {
        "head": 1.0,
        "layer4": 0.3,
        "layer3": 0.2,
        "layer2": 0.1,
        "layer1": 0.05,
        "stem": 0.05,
    }


@given(num=st.integers(2, 14), factor=st.floats(1.0, 1e4))
def test_a_slice_is_spread_in_even_ratios(num: int, factor: float) -> None:
    found = geometric([str(index) for index in range(num)], factor)
    expected = np.geomspace(1 / factor, 1, num)
    assert [found[str(index)] for index in range(num)] == pytest.approx(list(expected))


def test_a_slice_over_one_group_is_the_lr() -> None:
    assert geometric(["head"], 100) == {"head": 1.0}


def test_ulmfit_divides_by_2_6_from_group_to_group() -> None:
    values = list(ulmfit(layers("test_resnet")).values())
    ratios = [before / after for before, after in pairwise(values)]
    assert ratios == pytest.approx([2.6] * 5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", RATES)
def test_every_group_of_any_model_has_a_rate(name: str, model: str) -> None:
    groups = rates(name)(layers(model))
    assert set(match_layers(groups, layers(model), "here")) == set(layers(model))
    assert groups["head"] == 1.0


@given(names, st.integers(0, 16))
def test_so_many_blocks_train_as_are_asked_for(groups: list[str], num: int) -> None:
    table = last_blocks(playbook(groups), groups, num)
    rows = match_layers(table, tuple(groups), "here")
    trained = [group for group in groups if table[rows[group]] != "frozen"]
    assert trained == groups[-min(num + 1, len(groups)) :]


def test_unknown_rates_are_named() -> None:
    with pytest.raises(UserError, match=r"unknown rates 'playbok' \(did you mean 'playbook'\?\)"):
        rates("playbok")
