"""Samplers by name: the same suggestions whoever asks, and errors that name the option."""

import optuna
import pytest

from search_spaces.grid import grid
from search_spaces.study import config_of, study
from thaw.sampling import SAMPLERS, make_sampler, open_study
from training.errors import UserError


def suggestions(name: str, cuts: tuple[int, ...]) -> list[float]:
    """Ask for 6 values; at each cut everything but the storage is thrown away."""
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="s")
    found = []
    for number in range(6):
        if number in cuts or number == 0:
            loaded = optuna.load_study(storage=storage, study_name="s")
        loaded.sampler = make_sampler(name, {}, 7, number)
        trial = loaded.ask()
        found.append(trial.suggest_float("x", 0, 1))
        loaded.tell(trial, (found[-1] - 0.3) ** 2)
    return found


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_goes_on_as_if_it_had_never_stopped(name: str) -> None:
    assert suggestions(name, (2, 5)) == suggestions(name, ())


def test_suggestions_differ_from_trial_to_trial() -> None:
    assert len(set(suggestions("random", ()))) == 6


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "tpf",
            {},
            f"unknown sampler 'tpf' (did you mean 'tpe'?); allowed: {', '.join(SAMPLERS)}",
        ),
        ("random", {"speed": 1}, "unknown option of sampler random: 'speed'; allowed: none"),
    ],
)
def test_an_unknown_name_is_told(name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError) as raised:
        make_sampler(name, options, 0, 0)
    assert str(raised.value) == message


def test_the_studys_points_come_first_and_are_queued_once() -> None:
    chosen = study("unfreeze_timing")
    storage = "sqlite:///:memory:"
    opened = open_study(chosen, {"head_lr": 0.01}, storage, resume=False)
    waiting = opened.get_trials()
    assert len(waiting) == len(chosen.points)
    assert "head_lr" not in waiting[0].system_attrs["fixed_params"]


def test_two_objectives_are_the_metric_and_device_seconds() -> None:
    opened = open_study(
        study("unfreeze_timing"), {}, "sqlite:///:memory:", resume=False, pareto=True
    )
    directions = [direction.name for direction in opened.directions]
    assert (directions, opened.metric_names) == (
        ["MAXIMIZE", "MINIMIZE"],
        ["val_accuracy", "device_s"],
    )


def test_a_grid_is_asked_point_by_point() -> None:
    chosen = study("lr_sequence")
    points = list(grid(chosen, config_of(chosen, {}), {}))
    opened = open_study(chosen, {}, "sqlite:///:memory:", resume=False, points=points)
    waiting = [trial.system_attrs["fixed_params"] for trial in opened.get_trials()]
    assert waiting == points and len(points) == 153


def test_a_study_that_is_there_is_not_overwritten(tmp_path) -> None:  # type: ignore[no-untyped-def]
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    open_study(study("unfreeze_timing"), {}, storage, resume=False)
    with pytest.raises(UserError, match="--resume"):
        open_study(study("unfreeze_timing"), {}, storage, resume=False)


def test_a_storage_that_cannot_be_opened_is_told() -> None:
    with pytest.raises(UserError, match="--storage"):
        open_study(study("unfreeze_timing"), {}, "nosuchdb://x", resume=False)
