"""The study of cycles: what all trials share, and what the source says that strategies cost."""

from functools import cache
from typing import Any

import optuna
import pytest

from search_spaces.cyclic_lambda import STUDY
from search_spaces.dimensions import Ask, Given
from search_spaces.study import config_of
from thaw.plan import draw
from training.cyclic import Cyclic
from training.cyclic_config import CyclicConfig
from training.errors import UserError
from training.schedule import Facts, Schedule
from training.settings import Place
from training.task import facts_of
from training.walk import foresee

FULL = {"preset": "full", "identities": 16, "images": 4}


@cache
def facts() -> Facts:
    return facts_of(Cyclic(CyclicConfig.parse(FULL)), seed=0, place=Place())


def schedule(values: dict[str, Any], **fields: Any) -> Schedule:
    trial = optuna.trial.FixedTrial(values)
    return STUDY.space(Ask(trial, {}), config_of(STUDY, FULL | fields), 0)


@cache
def planned() -> list[tuple[dict[str, Any], tuple[str, ...]]]:
    """The values of the 24 trials that `thaw plan` draws, and their keys."""
    config = config_of(STUDY, FULL)
    points = draw(STUDY, config, {}, 24, seed=0)
    spaces = [STUDY.space(Ask(Given(dict(p)), {}), config, 0) for p in points]
    return [(p, foresee(s, facts())) for p, s in zip(points, spaces, strict=True)]


def test_24_trials_share_two_thirds_at_the_full_lengths() -> None:
    """Also without the pretraining, which users with weights do not have."""
    keys = [found for _, found in planned()]
    pretraining = 40
    naive = sum(map(len, keys)) - 24 * pretraining
    distinct = len({key for found in keys for key in found}) - pretraining
    assert naive / distinct >= 3, f"{naive} segments in all, {distinct} different ones"


def test_all_trials_share_the_first_two_models() -> None:
    keys = [found for _, found in planned()]
    trunk = 40 + 100 + 10 + 25
    assert len({found[:trunk] for found in keys}) == 1
    assert len({found[trunk : trunk + 1] for found in keys}) > 2


def test_full_retrains_lie_on_one_path() -> None:
    found = [keys for values, keys in planned() if values["strategy"] == "full_retrain"]
    longest = max(found, key=len)
    assert len(found) > 2
    assert all(keys == longest[: len(keys)] for keys in found)


def test_cycles_of_other_lengths_share_until_the_shorter_cools_down() -> None:
    values = dict(STUDY.points[0])
    short, long = (
        foresee(schedule(values | {"cyclic_length": share}), facts()) for share in (0.3, 0.4)
    )
    common = sum(one == other for one, other in zip(short, long, strict=False)) - 175
    assert 0.8 * 30 <= common < 30


def test_a_lambda_reaches_the_stages_of_the_cycles_only() -> None:
    found = schedule({**STUDY.points[1], "lambda_identity": 0.33, "lambda_l1": 0.9})
    weights = {s.name: s.loss.get("identity") for s in found.stages if s.model == "dsr"}
    assert weights == {"initial_dsr": 0.5, "cycle1_dsr": 0.33, "cycle2_dsr": 0.33}


def test_without_weights_for_its_network_there_is_no_perceptual_lambda() -> None:
    ask = Ask(Given({"strategy": "cyclic"}), {})
    found = STUDY.space(ask, config_of(STUDY, FULL), 0)
    assert "lambda_perceptual" not in ask.values
    assert not any("perceptual" in stage.loss for stage in found.stages)
    with_weights = schedule(dict(STUDY.points[0]), perceptual="edgeface")
    assert {s.loss["perceptual"] for s in with_weights.stages if s.model == "dsr"} == {0.02, 0.015}


def test_finetuned_models_have_no_trial_without_a_cycle() -> None:
    given = {"edgeface_weights": "e.pt", "dsr_weights": "d.pt", "finetuned": True}
    config = config_of(STUDY, FULL | given)
    points = draw(STUDY.sized(config), config, {}, 24, seed=0)
    assert {point["strategy"] for point in points} == {"cyclic", "full_retrain"}
    pinned = Ask(Given({}), {"strategy": "no_cycle"})
    with pytest.raises(UserError, match="strategy no_cycle: finetuned=true"):
        STUDY.space(pinned, config, 0)


def test_a_pinned_perceptual_weight_without_weights_is_refused() -> None:
    pinned = Ask(Given({"strategy": "no_cycle"}), {"lambda_perceptual": 0.02})
    with pytest.raises(UserError, match=r"--set lambda_perceptual=0.02: must be 0: there are no"):
        STUDY.space(pinned, config_of(STUDY, FULL), 0)
