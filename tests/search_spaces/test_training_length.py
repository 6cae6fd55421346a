"""Lengths share their trunk where the curve allows it, and the plan says so beforehand."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from search_spaces.dimensions import Ask, Given
from search_spaces.study import study
from search_spaces.training_length import LENGTH
from thaw.plan import plan_search
from trainables.spec import TrialSpec
from trainables.streets import Settings
from training.errors import UserError
from training.schedule import Schedule, Stage
from training.settings import Place
from training.store import Store
from training.streets import num_operations
from training.trainer import Trainer
from training.walk import foresee, walk

QUICK = {
    "encoder": "tu-test_resnet",
    "height": 32,
    "width": 32,
    "base_iterations": 8,
    "validate_every": 1,
}
FIXED = {"lr_factor": 1.0, "warmup": 0.0}
PLACE = Place()


def schedule(length: int, curve: str = "constant_cooldown", **task: object) -> Schedule:
    values = FIXED | {"lr_curve": curve, "length": length}
    return study("training_length").space(Ask(Given(values), {}), Settings(**QUICK | task), 0)  # type: ignore[arg-type]


def spec(length: int) -> TrialSpec:
    return TrialSpec(system="streets", task=QUICK, schedule=schedule(length))


def plan(curve: str, tmp_path: Path, *more: str) -> dict[str, object]:
    pairs = [f"lr_curve={curve}", *(f"{name}={value}" for name, value in FIXED.items()), *more]
    made = plan_search("training_length", pairs, None, None, 0, str(tmp_path), None)
    return json.loads(made.json())  # type: ignore[no-any-return]


def test_the_plan_says_that_constant_and_cooldown_share_and_the_others_do_not(
    tmp_path: Path,
) -> None:
    shared, cosine, poly = (plan(c, tmp_path) for c in ("constant_cooldown", "cosine", "poly"))
    assert shared["segments_naive"] == cosine["segments_naive"] == 8 + 16 + 24 + 32
    assert shared["segments_shared"] == 43, "a trunk of 25, and cooldowns of 2, 4, 5 and 7"
    assert cosine["segments_shared"] == poly["segments_shared"] == 80
    assert shared["merge_rate"] == pytest.approx(80 / 43) and 80 / 43 > 1.8


def test_shared_lengths_end_with_the_metrics_of_separate_runs(tmp_path: Path) -> None:
    facts = spec(1).facts(PLACE)
    task, num_trained = spec(1).build_task(), 0

    def ends(stores: list[Store]) -> list[dict[str, float]]:
        nonlocal num_trained
        found = []
        for length, store in zip((1, 2), stores, strict=True):
            trainer = Trainer(task, root=facts.root, seed=0, store=store, place=PLACE)
            visits = list(walk(spec(length).schedule, facts, store, trainer.train))
            num_trained += sum(not visit.reused for visit in visits)
            found.append(visits[-1].record.metrics)
        return found

    apart = ends([Store(str(tmp_path / name)) for name in "ab"])
    assert num_trained == 8 + 16
    num_trained, one = 0, Store(str(tmp_path / "one"))
    assert ends([one, one]) == apart
    assert num_trained == len({k for n in (1, 2) for k in foresee(spec(n).schedule, facts)}) < 24


def test_rungs_begin_at_the_base_length_whatever_the_interval() -> None:
    sized = study("training_length").sized(Settings(validate_every=20))
    assert (sized.grace_epochs, sized.max_epochs) == (4, 16)


def test_a_longer_run_begins_as_a_shorter_one_up_to_its_cooldown() -> None:
    facts = spec(1).facts(PLACE)
    ways = [foresee(schedule(length), facts) for length in LENGTH.values]
    assert [len(way) for way in ways] == [8, 16, 24, 32]
    for short, longer in pairwise(ways):
        same = sum(a == b for a, b in zip(short, longer, strict=False))
        assert 0.8 * len(short) <= same < len(short), "the last fifth cools down"


def test_iterations_before_count_in_no_key() -> None:
    facts = spec(1).facts(PLACE)
    resumed = schedule(1, resume_iteration=80)
    assert resumed.iterations_before == 80
    assert foresee(resumed, facts) == foresee(schedule(1), facts)


def test_the_full_preset_is_that_of_the_project() -> None:
    config = Settings.parse({"preset": "full"})
    [stage] = study("training_length").space(Ask(Given({"length": 4}), {}), config, 0).stages
    assert (config.architecture, config.encoder, config.size) == (
        "segformer",
        "mit_b5",
        (512, 1024),
    )
    assert (stage.epochs, stage.segment_iterations, stage.batch_size) == (32, 10_000, 2)
    assert stage.lr * float(stage.groups["encoder"]) == pytest.approx(6e-5)


def test_the_full_networks_take_a_step_at_reduced_size(tmp_path: Path) -> None:
    for network in (
        {"architecture": "segformer", "encoder": "mit_b5"},
        {"architecture": "pspnet", "encoder": "resnet101"},
    ):
        small = {"height": 64, "width": 64, "weights": "none"}
        task = {"preset": "full", "base_iterations": 1, "validate_every": 1} | network | small
        config = Settings.parse(task)
        wanted = study("training_length").space(Ask(Given({"length": 1}), {}), config, 0)
        made = TrialSpec(system="streets", task=task, schedule=wanted)
        facts, store = made.facts(PLACE), Store(str(tmp_path / network["encoder"]))
        trainer = Trainer(made.build_task(), root=facts.root, seed=0, store=store, place=PLACE)
        [visit] = walk(wanted, facts, store, trainer.train)
        assert visit.record.num_steps == 1 and visit.record.metrics["train_loss"] > 0


def test_an_interval_that_does_not_divide_the_base_length_is_told() -> None:
    with pytest.raises(UserError, match="validate_every: 30 does not divide base_iterations, 80"):
        Settings.parse({"validate_every": 30}, "task")


def test_another_network_has_its_own_recipe() -> None:
    by_architecture: dict[str, Stage] = {
        name: schedule(1, architecture=name).stages[0] for name in ("segformer", "pspnet")
    }
    kinds = {name: stage.optimizer.kind for name, stage in by_architecture.items()}
    assert kinds == {"segformer": "adamw", "pspnet": "sgd"}


def test_the_plan_of_the_full_preset_has_hours(tmp_path: Path) -> None:
    """ResNet-50 takes 4.1e9 multiply-adds at 224 px (He et al. 2016, table 1: 3.8e9 with fewer)."""
    made = plan("constant_cooldown", tmp_path, "preset=full", "weights=none")
    hours, segments = made["hours_shared"], made["segments_shared"]
    assert isinstance(hours, float) and isinstance(segments, int)
    config = Settings.parse({"preset": "full"})
    each = 3 * num_operations(config) * 2 * 10_000 / 30e12 / 3600
    assert hours == pytest.approx(segments * each)
    assert made["hours_plain"] == pytest.approx(80 * each)
    resnet = Settings.parse({"encoder": "resnet50", "architecture": "linknet", "height": 224})
    assert num_operations(resnet.model_copy(update={"width": 224})) > 2 * 4.0e9
